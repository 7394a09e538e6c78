"""``majority``: the commoner class of the training rows, for every sentence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pytest_sst2.methods.base import Job, Trained


def train(job: Job) -> Trained:
    """Return a classifier that gives every sentence the share of positives among the training rows.

    With as many positives as negatives that share is one half, and the prediction negative.
    """
    with job.clock.phase("fit", examples=len(job.train)):
        positive = float(np.mean(job.train.labels))

    def predict(sentences: Sequence[str]) -> np.ndarray:
        return np.full(len(sentences), positive)

    return Trained(predict, {"positive_share": positive})
