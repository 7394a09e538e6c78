"""Decide the verdict on the accuracy of one cell."""

from __future__ import annotations

from typing import Literal

from pytest_sst2.compare.significance import AccuracyChange

Verdict = Literal["identical", "held", "improved", "regressed", "undecided", "incomparable"]
Headline = Literal["HOLDS", "UNDECIDED", "FAILS", "CANNOT COMPARE"]

_ROUNDING = 1e-9  # 0.795 - 0.8 is -0.005000000000000004


def verdict_of(
    change: AccuracyChange, p_worse: float, p_better: float, *, alpha: float, tolerance: float, is_identical: bool
) -> Verdict:
    """Return the verdict on a change, with p-values adjusted for the number of cells.

    ``regressed`` and ``improved`` need a p of at most ``alpha`` and a delta beyond the tolerance. ``held`` needs a
    lower bound above minus the tolerance. It needs no correction for the number of cells, because "all cells hold" is
    an intersection-union test (Berger 1982, Technometrics 24).
    """
    if is_identical:
        return "identical"
    if p_worse <= alpha and change.delta < -tolerance - _ROUNDING:
        return "regressed"
    if p_better <= alpha and change.delta > tolerance + _ROUNDING:
        return "improved"
    return "held" if change.at_worst > -tolerance else "undecided"
