"""``tfidf``: TF-IDF unigrams and logistic regression. Its accuracy is what words alone can reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.logistic_regression import (
    convergence_warnings,
    fit_logistic,
    regression_settings,
    training_fingerprint,
)
from pytest_sst2.utils.errors import Sst2Error


def train(job: Job) -> Trained:
    """Return a classifier on TF-IDF unigrams. It ignores words that do not occur in the training rows."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(
        lowercase=True,
        token_pattern=r"(?u)\b\w\w+\b",  # noqa: S106 - a pattern for words, no password  # nosec B106
        ngram_range=(1, 1),
        min_df=1,
        max_df=1.0,
        norm="l2",
        use_idf=True,
        smooth_idf=True,
        sublinear_tf=False,
    )
    with job.clock.phase("encode", examples=len(job.train)):
        features = _fit_transform(vectorizer, job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(features, job.train.labels, job.seed)
    training = training_fingerprint(model, features, job.train.labels)
    job.recorder.record_training(training)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(vectorizer.transform(sentences))[:, 1])

    settings = {**regression_settings(model), "vocabulary": len(vectorizer.vocabulary_)}
    return Trained(predict, settings, warnings=convergence_warnings(training))


def _fit_transform(vectorizer: Any, sentences: Sequence[str]) -> Any:
    """Fit the vectorizer and return the features of the sentences.

    Raises:
        Sst2Error: The sentences contain no word.
    """
    try:
        return vectorizer.fit_transform(sentences)
    except ValueError as error:
        if "vocabulary" not in str(error):
            raise
        raise Sst2Error(
            f"method 'tfidf' counts words of two characters or more, and the {len(sentences):,} training sentences "
            "have none. Check the data, or leave 'tfidf' out of --methods."
        ) from error
