"""``tfidf``: TF-IDF unigrams and logistic regression, what words alone can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.logistic_regression import course_of, fit_logistic, settings_of, stopping_warnings
from pytest_sst2.utils.errors import Sst2Error


def train(job: Job) -> Trained:
    """Return a classifier on TF-IDF unigrams; words that the training rows lack are passed over."""
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
        features = _fitted(vectorizer, job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        model = fit_logistic(features, job.train.labels, job.seed)
    course = course_of(model, features, job.train.labels)
    job.recorder.record_training(course)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.asarray(model.predict_proba(vectorizer.transform(sentences))[:, 1])

    settings = {**settings_of(model), "vocabulary": len(vectorizer.vocabulary_)}
    return Trained(predict, settings, warnings=stopping_warnings(course))


def _fitted(vectorizer: Any, sentences: Sequence[str]) -> Any:
    """Return the sentences' features, the vocabulary being theirs.

    Raises:
        Sst2Error: There is no word in them.
    """
    try:
        return vectorizer.fit_transform(sentences)
    except ValueError as error:
        if "vocabulary" not in str(error):
            raise
        raise Sst2Error(
            f"method 'tfidf' counts words of two characters or more, and the {len(sentences):,} training sentences "
            "have none. Look at the data, or leave the method out: --methods."
        ) from error
