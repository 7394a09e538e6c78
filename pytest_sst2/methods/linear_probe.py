"""``linear-probe``: frozen sentence embeddings and scikit-learn's logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.features import load_features
from pytest_sst2.methods.logistic_regression import course_of, fit_logistic, settings_of, stopping_warnings


def train(job: Job) -> Trained:
    """Return a classifier on the encoder's sentence embeddings; the encoder itself is not trained."""
    read = load_features(job)

    def embed(sentences: Sequence[str]) -> np.ndarray:
        # In float32 the solver rounds on its way to where it stops: another batch, or thread, moves the seventh digit
        # of an embedding, and that a few predictions in 5,000 (docs/results.md).
        return read(sentences).astype(np.float64)

    with job.clock.phase("encode", examples=len(job.train)):
        features = embed(job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(features, job.train.labels, job.seed)
    course = course_of(model, features, job.train.labels)
    job.recorder.record_training(course)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(embed(sentences))[:, 1])

    settings = {**settings_of(model), **read.settings()}
    return Trained(predict, settings, warnings=(*read.warnings(), *stopping_warnings(course)))
