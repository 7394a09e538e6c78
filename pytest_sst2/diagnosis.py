"""Warnings a reader of a number needs."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from pytest_sst2.splits import Examples


def collapse_warnings(method: str, predictions: np.ndarray) -> tuple[str, ...]:
    """Say when a trained classifier gives every sentence the same class: it has learnt nothing."""
    if method == "majority" or len(np.unique(predictions)) > 1:
        return ()
    return (f"collapsed: every prediction is {'positive' if predictions[0] else 'negative'}",)


def overlap_warnings(train: Examples, evaluation: Examples) -> tuple[str, ...]:
    """Say how many evaluation sentences also stand, word for word, among the training sentences."""
    known = {sentence.strip() for sentence in train.sentences}
    shared = sum(sentence.strip() in known for sentence in evaluation.sentences)
    if not shared:
        return ()
    return (f"{shared:,} of {len(evaluation):,} evaluation sentences are also training sentences",)


def disagreement_warnings(rounds: Sequence[np.ndarray]) -> tuple[str, ...]:
    """Say when rounds of one cell, same seed and all, predicted differently: the run is not reproducible."""
    different = [int((other != rounds[0]).sum()) for other in rounds[1:]]
    if not any(different):
        return ()
    return (f"not reproducible: rounds of the same seed differ in up to {max(different)} predictions",)


def company_warnings() -> tuple[str, ...]:
    """Say when other xdist workers were busy beside this one: its times are not those of a machine to itself."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return (f"timed beside {workers - 1} other pytest-xdist workers",) if workers > 1 else ()
