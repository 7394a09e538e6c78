"""A conftest.py with a method like SetFit: pairs of sentences train the encoder, and then a head is fitted to it."""

import numpy as np

from pytest_sst2 import MethodSpec

STEPS, BATCH, RATE = 100, 16, 2e-5


def contrastive(job):
    import torch
    from sklearn.linear_model import LogisticRegression

    from pytest_sst2 import Trained, TrainingFingerprint

    with job.clock.phase("load"):  # a copy of its own, because load_features() shares one between the cells
        encoder = job.loader.sentence_encoder(job.encoder)

    def tokenize(sentences, **options):
        limit = encoder.max_seq_length
        return encoder.tokenizer(list(sentences), truncation=True, max_length=limit, **options)

    def embed(sentences):
        return encoder.encode(list(sentences), show_progress_bar=False)

    job.recorder.record_tokenizer(encoder.tokenizer, lambda sentences: tokenize(sentences)["input_ids"])
    job.recorder.record_encoder(encoder, embed)
    random = np.random.default_rng(job.seed)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=RATE)
    with job.clock.phase("train", examples=STEPS * BATCH):
        encoder.train()
        for step in range(STEPS):
            rows = random.integers(len(job.train), size=BATCH)
            inputs = tokenize([job.train.sentences[row] for row in rows], padding=True, return_tensors="pt")
            vectors = encoder(dict(inputs.to(encoder.device)))["sentence_embedding"]
            cosines = torch.nn.functional.cosine_similarity(vectors[:, None], vectors, dim=-1)
            labels = torch.tensor(job.train.labels[rows], device=encoder.device)
            loss = (cosines - (labels[:, None] == labels).float()).square().mean()  # of every pair in the batch
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            job.clock.step(step + 1, STEPS)
    with job.clock.phase("fit", examples=len(job.train)):
        head = LogisticRegression(max_iter=1000).fit(embed(job.train.sentences), job.train.labels)
    job.recorder.record_training(TrainingFingerprint(steps=STEPS))
    settings = {"batch": BATCH, "learning_rate": RATE}
    return Trained(lambda sentences: head.predict_proba(embed(sentences))[:, 1], settings)


def pytest_sst2_methods():
    return [MethodSpec("contrastive", contrastive)]
