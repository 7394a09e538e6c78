"""Decide the verdict on the accuracy of one cell, and the smallest drop that would have been called regressed."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Literal

from pytest_sst2.compare.several_seeds import margin
from pytest_sst2.compare.significance import AccuracyChange, mcnemar_p

Verdict = Literal["improved", "unchanged", "regressed", "incomparable"]

_ROUNDING = 1e-9  # 0.795 - 0.8 is -0.005000000000000004


def verdict_of(delta: float, adjusted_p: float, *, alpha: float, tolerance: float) -> Verdict:
    """Return the verdict: a change needs p of at most ``alpha`` and a delta beyond the tolerance."""
    if adjusted_p > alpha or abs(delta) <= tolerance + _ROUNDING:
        return "unchanged"
    return "regressed" if delta < 0 else "improved"


def smallest_detectable_drop(gains: int, total: int, alpha: float, tolerance: float) -> float | None:
    """Return the smallest drop, a positive fraction, that one seed would have shown with the gains that were observed.

    It is the drop at the smallest number of losses that gives the verdict ``regressed``. None if even losing all other
    examples does not give it.

    Raises:
        ValueError: ``gains`` exceeds ``total``, or ``total`` is not positive.
    """
    if not 0 <= gains <= total or total < 1:
        raise ValueError(f"{gains} gains are impossible with {total} examples.")

    def regressed(losses: int) -> bool:
        p, delta = mcnemar_p(losses, gains), (gains - losses) / total
        return verdict_of(delta, p, alpha=alpha, tolerance=tolerance) == "regressed"

    # From gains + 1 upwards the p-value falls and the drop grows.
    losses = bisect_left(range(total - gains + 1), True, lo=gains, key=regressed)
    return (losses - gains) / total if losses <= total - gains else None


def detectable_drop(change: AccuracyChange, alpha: float, tolerance: float) -> float | None:
    """Return the smallest drop, a positive fraction, that this comparison would have called regressed.

    For one seed it is ``smallest_detectable_drop``. For several seeds it is the larger of two numbers: the margin at
    ``alpha`` with the observed variance, and the drop that one seed without gains would need. The second covers the
    tolerance, and the sign test if all seeds agree. None if the drop exceeds the accuracy before.
    """
    if not change.error_parts:
        return smallest_detectable_drop(change.gains, change.examples, alpha, tolerance)
    one_seed_drop = smallest_detectable_drop(0, change.examples, alpha, tolerance)
    drop = max(one_seed_drop or math.inf, margin(change.error_parts, alpha))
    return drop if drop <= change.before else None
