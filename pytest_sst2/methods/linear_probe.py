"""``linear-probe``: frozen sentence embeddings and scikit-learn's logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.features import load_features
from pytest_sst2.methods.logistic_regression import (
    convergence_warnings,
    fit_logistic,
    regression_settings,
    training_fingerprint,
)


def train(job: Job) -> Trained:
    """Return a classifier on the encoder's sentence embeddings. The encoder itself is not trained."""
    features = load_features(job)

    def embed(sentences: Sequence[str]) -> np.ndarray:
        # In float32 the solver stops elsewhere when another batch or thread moves the seventh digit of an embedding,
        # and that moves a few predictions in 5,000 (docs/results.md).
        return features(sentences).astype(np.float64)

    with job.clock.phase("encode", examples=len(job.train)):
        embeddings = embed(job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(embeddings, job.train.labels, job.seed)
    training = training_fingerprint(model, embeddings, job.train.labels)
    job.recorder.record_training(training)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(embed(sentences))[:, 1])

    settings = {**regression_settings(model), **features.settings()}
    return Trained(predict, settings, warnings=(*features.warnings(), *convergence_warnings(training)))
