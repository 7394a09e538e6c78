"""Arrays of right and wrong predictions, and the verdict on a run of one cell."""

from __future__ import annotations

import numpy as np

from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.verdict import Verdict, verdict_of
from pytest_sst2.config.options import ALPHA, TOLERANCE


def all_right_but(total: int, *wrong: int) -> np.ndarray:
    """Return ``total`` examples, all right except those at the given indices."""
    correct = np.ones(total, dtype=bool)
    correct[list(wrong)] = False
    return correct


def wrong_by_seed(total: int, wrong: tuple[int, ...]) -> np.ndarray:
    """Return one row per seed, each with the first so many examples wrong."""
    return np.stack([all_right_but(total, *range(count)) for count in wrong])


def one_cell_verdict(change: AccuracyChange) -> Verdict:
    """Return the verdict on a change in a run of one cell."""
    return verdict_of(change, change.p_worse, change.p_better, alpha=ALPHA, tolerance=TOLERANCE, is_identical=False)
