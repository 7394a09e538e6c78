"""Test the rule of the verdict."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.verdict import Verdict, verdict_of

CHANGE = AccuracyChange(0.8, 0.8, 0.0, -0.02, 0.02, 0.5, 0.5, 5, 5, 872, 1, "exact McNemar")


def decide(delta: float = 0.0, at_worst: float = -0.02, p_worse: float = 0.5, p_better: float = 0.5) -> Verdict:
    change = dataclasses.replace(CHANGE, delta=delta, at_worst=at_worst)
    return verdict_of(change, p_worse, p_better, alpha=0.01, tolerance=0.01, is_identical=False)


def test_regressed_needs_a_small_p_and_more_than_the_tolerance() -> None:
    assert decide(-0.02, p_worse=0.01) == "regressed"
    assert decide(-0.02, p_worse=0.011) == "undecided"
    assert decide(-0.009, p_worse=0.001) == "undecided"


def test_improved_is_its_mirror() -> None:
    assert decide(0.02, p_better=0.01) == "improved"
    assert decide(0.02, p_better=0.011) == "undecided"


def test_held_needs_a_bound_above_minus_the_tolerance() -> None:
    assert decide(-0.003, at_worst=-0.0099) == "held"
    assert decide(-0.003, at_worst=-0.01) == "undecided"
    assert decide(0.009, at_worst=0.001, p_better=0.001) == "held"


@pytest.mark.parametrize("before", [0.8, 0.805, 0.9, 0.555])
def test_a_drop_of_exactly_the_tolerance_is_not_regressed_despite_rounding(before: float) -> None:
    assert decide((before - 0.01) - before, p_worse=0.0) == "undecided"


def test_equal_answers_and_fingerprints_are_identical_however_few() -> None:
    assert verdict_of(CHANGE, 1.0, 1.0, alpha=0.01, tolerance=0.0, is_identical=True) == "identical"
