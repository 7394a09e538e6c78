"""Test the randomisation test against all signs, counted one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.compare.randomisation import least_p, sign_flip_p
from pytest_sst2.compare.significance import mcnemar_p


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_it_is_the_share_of_signs_with_at_most_this_sum(values: list[int]) -> None:
    sums = [sum(map(int, np.multiply(signs, values))) for signs in itertools.product((-1, 1), repeat=len(values))]
    expected = sum(total <= sum(values) for total in sums) / len(sums)
    assert sign_flip_p(np.array(values)) == pytest.approx(expected)


@given(st.integers(0, 60), st.integers(0, 60))
def test_with_one_seed_it_is_mcnemar_s_test(losses: int, gains: int) -> None:
    values = np.array([-1] * losses + [1] * gains + [0] * 5)
    assert sign_flip_p(values) == pytest.approx(mcnemar_p(losses, gains), abs=1e-14)


def test_a_set_of_sentences_that_all_seeds_lost_weighs_more_than_scattered_flips() -> None:
    # 20 sentences lost by all five seeds, 60 gained by one: 80 signs with 60 gains, but a sum of -40.
    values = np.array([-5] * 20 + [1] * 60)
    assert mcnemar_p(20, 60) > 0.99
    assert sign_flip_p(values) < 0.05


def test_all_losses_have_the_least_p() -> None:
    assert sign_flip_p(np.array([-2, -4, -2, 0])) == pytest.approx(least_p(np.array([-2, -4, -2, 0]))) == 0.125
    assert sign_flip_p(np.zeros(4, dtype=int)) == least_p(np.zeros(4, dtype=int)) == 1.0


def test_thousands_of_sentences_and_many_seeds_are_normal() -> None:
    values = np.random.default_rng(1).integers(-64, 65, 5000) - 1
    z = values.sum() / np.sqrt((values**2).sum())
    from scipy import stats

    assert sign_flip_p(values) == pytest.approx(stats.norm.cdf(z), rel=0.01)
