"""Frozen sentence embeddings, the features of both probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.diagnosis import truncation_warnings
from pytest_sst2.methods import Job

# Sentences are sorted by length before they are batched, so a large batch wastes little padding. The size is part of
# what makes a number reproducible: it moves embeddings by 1e-7, and a regression that stops at tol=1e-4 can turn that
# into a few predictions in 5,000 (measured: 0.8192, 0.8198, 0.8200 for batches of 32, 64 and 128).
BATCH_SIZE = 128


@dataclass(frozen=True)
class Embedder:
    """A frozen encoder: from n sentences to an array of shape (n, d), float32."""

    encoder: Any

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings, in the order of the sentences."""
        embedded = self.encoder.encode(
            list(sentences), batch_size=BATCH_SIZE, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(embedded.float().cpu().numpy(), dtype=np.float32)

    def token_ids(self, sentences: Sequence[str]) -> list[list[int]] | None:
        """Return each sentence's token ids as the encoder reads them, None where it reads something else."""
        prepare = getattr(self.encoder, "preprocess", None) or self.encoder.tokenize  # renamed within version 5
        inputs = prepare(list(sentences))
        if "input_ids" not in inputs or "attention_mask" not in inputs:
            return None
        return [
            ids[mask.bool()].tolist() for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
        ]

    def settings(self) -> dict[str, Any]:
        """Return what decides the embeddings, as plain values."""
        return {
            "modules": [type(module).__name__ for module in self.encoder],
            "pooling": next((_pooling(module) for module in self.encoder if type(module).__name__ == "Pooling"), None),
            "max_seq_length": self.encoder.max_seq_length,
            "encode_batch_size": BATCH_SIZE,
        }


def load_embedder(job: Job) -> Embedder:
    """Load the job's encoder in the recipe's type, as phase ``load``, and show it to the witness."""
    with job.clock.phase("load"):
        embedder = Embedder(
            job.loader.sentence_encoder(job.encoder, dtype=job.recipe.dtype, max_length=job.recipe.probe_max_length)
        )
    if embedder.token_ids([""]) is not None:
        job.witness.saw_tokenizer(embedder.encoder.tokenizer, lambda sentences: embedder.token_ids(sentences) or [])
    job.witness.saw_encoder(embedder.encoder, embedder)
    return embedder


def embedding_warnings(job: Job, embedder: Embedder) -> tuple[str, ...]:
    """Say when the encoder brought no pooling of its own, and when it did not read whole sentences."""
    pooled = (job.loader.locate(job.encoder).folder / "modules.json").is_file()
    missing = () if pooled else ("no sentence-transformers modules: mean pooling over the last hidden states",)
    limit = embedder.encoder.max_seq_length
    if limit is None:
        return missing
    return (*missing, *truncation_warnings(embedder.encoder.tokenizer, limit, job.train, job.evaluation))


def _pooling(module: Any) -> str:
    """Return how a Pooling module pools: ``mean``, ``cls``, or several."""
    mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)
