"""A hand-written script without this package: two probes on frozen embeddings.

python plain_probe.py ENCODER_FOLDER TRAIN.tsv VALIDATION.tsv TRAIN_SIZE
"""

import sys

import datasets
import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score


def main() -> None:
    """Train both probes and print their accuracies."""
    folder, train_file, validation_file, train_size = sys.argv[1:]
    rows = datasets.load_dataset(
        "csv", data_files={"train": train_file, "validation": validation_file}, delimiter="\t", quoting=3
    )
    train = rows["train"].shuffle(seed=42)
    train = train.select(range(min(int(train_size), len(train))))
    validation = rows["validation"]
    encoder = SentenceTransformer(folder, device="cpu")
    features, labels = encoder.encode(train["sentence"]), np.array(train["label"])
    questions, answers = encoder.encode(validation["sentence"]), np.array(validation["label"])

    model = LogisticRegression(max_iter=1000).fit(features, labels)
    print("scikit-learn", accuracy_score(answers, model.predict(questions)))

    inputs, targets = torch.tensor(features).double(), torch.tensor(labels).double()
    layer = torch.nn.Linear(inputs.shape[1], 1, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=1000, tolerance_grad=1e-7, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(layer(inputs).squeeze(1), targets)
        loss = loss + layer.weight.square().sum() / (2 * len(targets))
        loss.backward()
        return loss

    optimizer.step(objective)
    with torch.no_grad():
        print("torch", accuracy_score(answers, layer(torch.tensor(questions).double()).squeeze(1).numpy() > 0))


if __name__ == "__main__":
    main()
