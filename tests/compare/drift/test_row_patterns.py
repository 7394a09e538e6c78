"""Test the patterns of moved rows: shift, permutation, stretch, lengths."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.compare.drift.row_patterns import row_pattern

OLD = np.random.default_rng(0).normal(size=300)
LENGTHS = np.arange(300) % 40 + 5
OTHER = np.random.default_rng(1).normal(size=300)


def where(condition: np.ndarray) -> np.ndarray:
    return np.where(condition, OTHER, OLD)


ROWS = np.arange(300)


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (OLD + 1e-7, ""),
        (np.roll(OLD, 7), "all rows have the values of rows 7 places before them"),
        (np.concatenate([OLD[:200], np.roll(OLD[200:], -1)]), "rows 200 to 299 have the values of rows 1 place after"
         " them"),
        (np.random.default_rng(2).permutation(OLD), "the values of 300 rows are in another order"),
        (where((ROWS >= 64) & (ROWS < 96)), "all between rows 64 and 95"),
        (where(LENGTHS >= 40), "those of 40 or more tokens"),
        (where(LENGTHS <= 7), "those of up to 7 tokens"),
        (where((LENGTHS >= 20) & (LENGTHS < 23)), "those of 20 to 22 tokens"),
        (where(np.isin(ROWS, [3, 50, 211, 280])), "the first is row 3"),
        (OTHER, "the first is row 0"),
    ],
)  # fmt: skip
def test_how_rows_moved_is_recognised(new: np.ndarray, words: str) -> None:
    assert row_pattern(OLD, new, 1e-4, LENGTHS) == words


def test_nearly_equal_values_are_no_permutation() -> None:
    old = np.full(300, 0.5) + 1e-5 * OLD
    assert row_pattern(old, old + 0.01, 2e-3) == "the first is row 0"


def test_rows_that_equal_their_neighbours_are_no_shift() -> None:
    old = np.repeat([0.001, 0.999], 150)
    new = np.where(np.isin(ROWS, [10, 60, 200, 260]), 0.5, old)
    assert row_pattern(old, new, 2e-3) == "the first is row 10"
