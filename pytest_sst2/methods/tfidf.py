"""``tfidf``: TF-IDF unigrams and logistic regression. Its accuracy is what words alone can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.logistic_regression import train_logistic
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
    trained = train_logistic(job, features, vectorizer.transform)
    return replace(trained, settings={**trained.settings, "vocabulary": len(vectorizer.vocabulary_)})


def _fit_transform(vectorizer: Any, sentences: Sequence[str]) -> Any:
    """Return the features of the sentences; raise ``Sst2Error`` if they contain no word."""
    try:
        return vectorizer.fit_transform(sentences)
    except ValueError as error:
        if "vocabulary" not in str(error):
            raise
        raise Sst2Error(
            f"method 'tfidf' counts words of two characters or more, and the {len(sentences):,} training sentences "
            "have none. Check the data, or leave 'tfidf' out of --methods."
        ) from error
