"""Test which single seeds fail, and how they are named."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.single_seeds import failed_seeds, low_outliers
from pytest_sst2.results.record import Epoch, Record
from tests.support.record_factory import answered

CLEAN = [0.80, 0.82, 0.81, 0.83, 0.80]


def cell(*accuracies: float) -> tuple[Record, ...]:
    """Return one record per seed, of 200 sentences, with these accuracies."""
    records = []
    for seed, accuracy in enumerate(accuracies, 1):
        right = np.arange(200) >= round(200 * (1 - accuracy))
        records.append(answered(np.random.default_rng(seed).permutation(right).tolist(), seed=seed))
    return tuple(records)


def failed(before: tuple[Record, ...], after: tuple[Record, ...]) -> tuple[list[str], tuple[str, ...]]:
    seeds, notes = failed_seeds(Pairing(before, after, paired=True), 0.01)
    return [seed.sentence for seed in seeds], notes


def test_a_collapsed_seed_is_named_with_the_others() -> None:
    seeds, notes = failed(cell(*CLEAN), cell(0.80, 0.82, 0.81, 0.32, 0.83))
    assert (seeds, notes) == (["seed 4 of 5 collapsed: 0.32, the others 0.80 to 0.83"], ())
    (failure,) = failed_seeds(Pairing(cell(*CLEAN), cell(0.8, 0.8, 0.8, 0.32, 0.8), paired=True), 0.01)[0]
    assert (failure.seed, failure.before, failure.after) == (4, 0.83, 0.32)


def test_two_of_five_that_collapse_are_both_named() -> None:
    assert len(failed(cell(*CLEAN), cell(0.80, 0.35, 0.81, 0.32, 0.83))[0]) == 2


def test_a_collapsed_seed_of_the_baseline_is_a_note() -> None:
    seeds, notes = failed(cell(0.80, 0.82, 0.32, 0.83, 0.80), cell(*CLEAN))
    assert (seeds, notes) == ([], ("of the earlier results, seed 3 of 5 collapsed: 0.32, the others 0.80 to 0.83",))


def test_a_seed_that_collapses_on_both_sides_is_no_regression() -> None:
    assert failed(cell(0.80, 0.82, 0.32, 0.83, 0.80), cell(0.81, 0.82, 0.30, 0.83, 0.80))[0] == []


def test_a_seed_that_fell_by_less_than_five_points_does_not_fail() -> None:
    assert failed(cell(0.8, 0.8, 0.8), cell(0.8, 0.8, 0.76))[0] == []
    assert failed(cell(0.8, 0.8, 0.8), cell(0.8, 0.8, 0.72))[0] == ["seed 3 of 3 fell to 0.72, the others 0.80"]


def test_one_class_and_divergence_fail_without_the_outlier_rule() -> None:
    before = after = cell(0.85, 0.6, 0.9, 0.7)
    constant = dataclasses.replace(after[3], predictions=(1,) * 200, accuracy=0.5, correct=100)
    diverged = dataclasses.replace(after[3], epochs=(Epoch(1, math.nan, 0.7, 0.7),))
    assert failed(before, after)[0] == []
    assert failed(before, (*after[:3], constant))[0] == [
        "seed 4 of 4 predicts one class only: 0.50, the others 0.60 to 0.90"
    ]
    assert failed(before, (*after[:3], diverged))[0] == ["seed 4 of 4 diverged: 0.70, the others 0.60 to 0.90"]


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_false_alarms_are_at_most_alpha(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    alarms = sum(
        bool(low_outliers(0.8 + 0.05 * rng.standard_normal(seeds), 0.8 + 0.05 * rng.standard_normal(seeds), 0.01))
        for _ in range(3000)
    )
    assert alarms / 3000 <= 0.01 + 3 * math.sqrt(0.01 / 3000)


def test_one_seed_has_nothing_to_compare_with() -> None:
    assert low_outliers([0.2], [0.8], 0.01) == []
