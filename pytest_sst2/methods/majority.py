"""``majority``: predicts the more common class of the training rows for every sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_sst2.methods.base import Job, Trained


def train(job: Job) -> Trained:
    """Return a classifier whose probability is the share of positive training rows for every sentence.

    If both classes are equally common, the probability is 0.5 and the prediction negative.
    """
    with job.clock.phase("fit", examples=len(job.train)):
        positive = float(np.mean(job.train.labels))

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.full(len(sentences), positive)

    return Trained(predict, {"positive_share": positive})


def majority_accuracy(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of always predicting the more common class of the training rows; negative in a tie.

    Args:
        train_labels: Labels of the training rows, 0 or 1.
        labels: Labels of the evaluation rows, 0 or 1.
    """
    majority = int(train_labels.mean() > 0.5)
    return float((labels == majority).mean())
