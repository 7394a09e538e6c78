"""Test the McNemar test, the bootstrap, Holm's correction, and the comparison of one seed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_sst2.compare.significance import compare_one_seed, holm, mcnemar_p, paired_bootstrap_interval
from pytest_sst2.compare.verdict import detectable_drop
from pytest_sst2.config.options import ALPHA, TOLERANCE
from tests.support.correctness_arrays import all_right_but, one_cell_verdict


class TestMcNemar:
    def test_eight_losses_without_a_gain_are_two_in_two_to_the_eighth(self) -> None:
        assert mcnemar_p(8, 0) == pytest.approx(2 / 2**8)

    def test_of_thirty_discordant_examples_a_net_twelve_is_needed_for_five_percent(self) -> None:
        assert mcnemar_p(20, 10) == pytest.approx(0.0987, abs=5e-5)
        assert mcnemar_p(21, 9) == pytest.approx(0.0428, abs=5e-5)

    def test_without_discordant_examples_p_is_one(self) -> None:
        assert mcnemar_p(0, 0) == 1.0

    def test_equal_gains_and_losses_have_p_one(self) -> None:
        assert mcnemar_p(7, 7) == 1.0

    @given(st.integers(0, 300), st.integers(0, 300))
    def test_it_is_the_exact_binomial_test_and_symmetric(self, losses: int, gains: int) -> None:
        assert mcnemar_p(losses, gains) == mcnemar_p(gains, losses)
        if losses + gains:
            assert mcnemar_p(losses, gains) == pytest.approx(stats.binomtest(losses, losses + gains).pvalue, rel=1e-9)

    def test_a_negative_count_is_refused(self) -> None:
        with pytest.raises(ValueError, match="-1"):
            mcnemar_p(-1, 3)


class TestBootstrap:
    def test_it_is_close_to_the_normal_interval(self) -> None:
        losses, gains, total = 45, 25, 872
        delta = (gains - losses) / total
        error = math.sqrt(losses + gains - (gains - losses) ** 2 / total) / total
        expected = (delta - 1.96 * error, delta + 1.96 * error)
        assert paired_bootstrap_interval(losses, gains, total) == pytest.approx(expected, abs=0.0015)

    def test_it_surrounds_the_delta_with_the_sign_of_the_change(self) -> None:
        low, high = paired_bootstrap_interval(60, 2, 872)
        assert low < -58 / 872 < high < 0

    def test_the_same_seed_gives_the_same_interval_and_another_seed_nearly_so(self) -> None:
        first = paired_bootstrap_interval(30, 12, 872, seed=1)
        assert first == paired_bootstrap_interval(30, 12, 872, seed=1)
        assert first == pytest.approx(paired_bootstrap_interval(30, 12, 872, seed=2), abs=0.0015)

    def test_less_confidence_is_a_shorter_interval(self) -> None:
        wide, narrow = (paired_bootstrap_interval(30, 12, 872, confidence=level) for level in (0.95, 0.5))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_without_discordant_examples_the_interval_is_zero(self) -> None:
        assert paired_bootstrap_interval(0, 0, 872) == (0.0, 0.0)

    @pytest.mark.parametrize("counts", [(5, 6, 10), (-1, 0, 10), (0, 0, 0)])
    def test_impossible_counts_are_refused(self, counts: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="impossible"):
            paired_bootstrap_interval(*counts)


class TestHolm:
    def test_a_worked_example(self) -> None:
        # Sorted: 4 x 0.01, 3 x 0.02, 2 x 0.022 raised to the 0.06 before it, and 1 x 0.5.
        assert holm([0.02, 0.5, 0.01, 0.022]) == pytest.approx([0.06, 0.5, 0.04, 0.06])

    def test_one_value_is_unchanged(self) -> None:
        assert holm([0.03]) == [0.03]

    def test_no_values_give_none(self) -> None:
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), max_size=30))
    def test_values_grow_to_at_most_one_and_keep_their_order(self, p_values: list[float]) -> None:
        adjusted = holm(p_values)
        assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
        by_size = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
        assert by_size == sorted(by_size)
        assert holm(p_values[::-1]) == adjusted[::-1]

    @pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
    def test_invalid_probabilities_are_refused(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, wrong])


class TestOneSeed:
    def test_the_counts_the_delta_and_the_test_of_ten_examples(self) -> None:
        change = compare_one_seed(all_right_but(10, 0), all_right_but(10, 1, 2, 3))
        assert (change.losses, change.gains, change.examples, change.seeds) == (3, 1, 10, 1)
        assert (change.before, change.after, change.delta) == pytest.approx((0.9, 0.7, -0.2))
        assert change.p_value == mcnemar_p(3, 1)
        assert change.interval == paired_bootstrap_interval(3, 1, 10)
        assert (change.test, change.standard_error, change.degrees_of_freedom) == ("exact McNemar", None, None)

    def test_losing_a_hundred_of_872_is_a_regression_and_the_reverse_an_improvement(self) -> None:
        good, bad = all_right_but(872), all_right_but(872, *range(100))
        assert one_cell_verdict(compare_one_seed(good, bad)) == "regressed"
        assert one_cell_verdict(compare_one_seed(bad, good)) == "improved"

    def test_two_equal_runs_are_unchanged_and_could_detect_eight_losses(self) -> None:
        change = compare_one_seed(all_right_but(872, 5), all_right_but(872, 5))
        assert (change.p_value, change.interval) == (1.0, (0.0, 0.0))
        assert detectable_drop(change, ALPHA, TOLERANCE) == 8 / 872

    def test_the_seed_determines_the_bootstrap(self) -> None:
        change = compare_one_seed(all_right_but(9000, *range(300)), all_right_but(9000, *range(200, 700)), seed=4)
        assert change.interval == paired_bootstrap_interval(400, 200, 9000, seed=4)
        assert change.interval != paired_bootstrap_interval(400, 200, 9000, seed=0)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (all_right_but(3), all_right_but(4)),
            (all_right_but(0), all_right_but(0)),
            (all_right_but(3)[None], all_right_but(3)[None]),
            (np.array([1, 0, 1]), np.array([1, 0, 0])),
        ],
    )
    def test_other_shapes_and_types_are_refused(self, before: np.ndarray, after: np.ndarray) -> None:
        with pytest.raises(ValueError, match="shape"):
            compare_one_seed(before, after)
