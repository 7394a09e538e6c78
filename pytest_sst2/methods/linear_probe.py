"""``linear-probe``: frozen sentence embeddings and scikit-learn's logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_sst2.methods import Job, Trained
from pytest_sst2.methods.features import embedding_warnings, load_embedder
from pytest_sst2.methods.logistic import course_of, fit_logistic, settings_of, stopping_warnings


def train(job: Job) -> Trained:
    """Return a classifier on the encoder's sentence embeddings; the encoder itself is not trained."""
    embed = load_embedder(job)
    with job.clock.phase("encode", examples=len(job.train)):
        features = embed(job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(features, job.train.labels, job.seed)
    course = course_of(model, features, job.train.labels)
    job.witness.saw_course(course)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(embed(sentences))[:, 1])

    warnings = (*embedding_warnings(job, embed), *stopping_warnings(course))
    return Trained(predict, {**settings_of(model), **embed.settings()}, warnings=warnings)
