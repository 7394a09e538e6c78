"""``linear-probe``: frozen sentence embeddings and scikit-learn's logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.features import load_features
from pytest_sst2.methods.logistic_regression import train_logistic


def train(job: Job) -> Trained:
    """Return a classifier on the encoder's sentence embeddings. The encoder itself is not trained."""
    features = load_features(job)

    def embed(sentences: Sequence[str]) -> np.ndarray:
        # In float32 the solver stops elsewhere when another batch or thread moves the seventh digit of an embedding,
        # and that moves a few predictions in 5,000 (docs/results.md).
        return features(sentences).astype(np.float64)

    with job.clock.phase("encode", examples=len(job.train)):
        embeddings = embed(job.train.sentences)
    trained = train_logistic(job, embeddings, embed)
    settings, warnings = features.settings(), features.warnings()
    return replace(trained, settings={**trained.settings, **settings}, warnings=(*warnings, *trained.warnings))
