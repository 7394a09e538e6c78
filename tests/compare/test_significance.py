"""Test the exact McNemar test and Wilson's interval."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_sst2.compare.significance import mcnemar_p, wilson_interval


class TestMcNemar:
    def test_eight_losses_without_a_gain_are_one_in_two_to_the_eighth(self) -> None:
        assert mcnemar_p(8, 0) == pytest.approx(0.5**8)
        assert mcnemar_p(0, 8) == 1.0

    def test_without_discordant_examples_p_is_one(self) -> None:
        assert mcnemar_p(0, 0) == 1.0

    @given(st.integers(0, 300), st.integers(0, 300))
    def test_it_is_the_one_sided_binomial_test(self, losses: int, gains: int) -> None:
        if losses + gains:
            expected = stats.binomtest(losses, losses + gains, alternative="greater").pvalue
            assert mcnemar_p(losses, gains) == pytest.approx(expected, rel=1e-9)

    def test_a_negative_count_is_refused(self) -> None:
        with pytest.raises(ValueError, match="-1"):
            mcnemar_p(-1, 3)


def test_wilson_s_interval_of_a_worked_example() -> None:
    # Wilson 1927; with z = 1.96, 15 of 40 are between 0.2424 and 0.5298.
    assert wilson_interval(15, 40) == pytest.approx((0.2422, 0.5297), abs=5e-4)
