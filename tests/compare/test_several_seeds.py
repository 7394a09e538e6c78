"""Test the comparison of several seeds, with variances worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from pytest_sst2.compare.several_seeds import compare_seeds
from pytest_sst2.compare.significance import compare_one_seed, mcnemar_p
from pytest_sst2.compare.verdict import detectable_drop
from pytest_sst2.config.options import ALPHA, TOLERANCE
from tests.support.correctness_arrays import all_right_but, one_cell_verdict, wrong_by_seed

SEED_TABLES = hnp.arrays(np.bool_, st.tuples(st.integers(2, 5), st.integers(2, 25)))


class TestSeveralSeeds:
    def test_the_variance_of_a_table_worked_by_hand(self) -> None:
        # d = [[-1, 0, 0], [-1, -1, 0]]; of the total 1.5 (squared deviations) the seeds have 1/6 (1 degree of freedom),
        # the examples 1 (2), the residual 1/3 (2): mean squares 1/6, 1/2, 1/6, and (1/6 + 1/2 - 1/6) / 6 = 1/12.
        before, after = np.stack([all_right_but(3)] * 2), np.stack([all_right_but(3, 0), all_right_but(3, 0, 1)])
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert (change.delta, change.losses, change.gains) == (-0.5, 2, 0)
        assert change.standard_error == pytest.approx(math.sqrt(1 / 12))
        assert [tuple(part) for part in change.error_parts] == [pytest.approx((1 / 36, 1)), pytest.approx((2 / 36, 2))]

    def test_the_variance_of_unpaired_seeds_worked_by_hand(self) -> None:
        # Seed means before 1/4, 1/2 and after 1, 3/4: variance 1/32 each, over two seeds 1/64, together 1/32. The
        # fractions of right seeds differ by 1/2, 0, 1/2, 1: variance 1/6, over four examples 1/24.
        # Residual mean squares: before 1/8, after 1/8, each over 8. Together 1/32 + 1/24 - 1/32.
        before = np.array([[0, 1, 0, 0], [1, 1, 0, 0]], dtype=bool)
        after = np.array([[1, 1, 1, 1], [1, 1, 0, 1]], dtype=bool)
        change = compare_seeds(before, after, paired=False, same_examples=True)
        assert (change.delta, change.losses, change.gains) == (0.5, 0, 3)
        assert change.standard_error == pytest.approx(math.sqrt(1 / 24))
        assert change.degrees_of_freedom == pytest.approx(2)  # Welch's, of equal variances

    @given(SEED_TABLES, st.integers(0, 2**32 - 1))
    def test_the_variance_of_any_paired_table_is_that_of_its_analysis_of_variance(
        self, before: np.ndarray, seed: int
    ) -> None:
        after = np.random.default_rng(seed).random(before.shape) < 0.7
        d = after.astype(float) - before
        s, n = d.shape
        rows, columns = d.mean(axis=1, keepdims=True), d.mean(axis=0, keepdims=True)
        of_seeds = n * ((rows - d.mean()) ** 2).sum() / (s - 1)
        of_examples = s * ((columns - d.mean()) ** 2).sum() / (n - 1)
        of_residuals = ((d - rows - columns + d.mean()) ** 2).sum() / ((s - 1) * (n - 1))
        expected = max(of_seeds + of_examples - of_residuals, of_seeds, of_examples) / (s * n)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert change.standard_error == pytest.approx(math.sqrt(expected), abs=1e-9)

    def test_the_interval_and_the_p_value_weigh_the_parts_by_their_own_t(self) -> None:
        before = np.random.default_rng(5).random((4, 300)) < 0.8
        after = before & (np.random.default_rng(6).random((4, 300)) > 0.05)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        (seeds, s_df), (examples, e_df) = change.error_parts
        assert (s_df, e_df) == (3, 299)

        def margin(level: float) -> float:
            return math.sqrt(seeds * stats.t.isf(level / 2, s_df) ** 2 + examples * stats.t.isf(level / 2, e_df) ** 2)

        assert change.interval == pytest.approx((change.delta - margin(0.05), change.delta + margin(0.05)))
        assert margin(change.p_value) == pytest.approx(abs(change.delta), rel=1e-6)

    def test_one_seed_repeated_three_times_gives_what_one_seed_gives(self) -> None:
        before, after = all_right_but(872, *range(20)), all_right_but(872, *range(10, 60))  # 40 losses, 10 gains
        one = compare_one_seed(before, after)
        three = compare_seeds(np.stack([before] * 3), np.stack([after] * 3), paired=True, same_examples=True)
        assert (three.losses, three.gains, three.delta) == (one.losses, one.gains, pytest.approx(one.delta))
        assert three.interval == pytest.approx(one.interval, abs=0.0015)
        assert three.p_value == pytest.approx(one.p_value)
        assert detectable_drop(three, ALPHA, TOLERANCE) == pytest.approx(
            detectable_drop(one, ALPHA, TOLERANCE), abs=0.005
        )

    def test_a_regression_of_one_repeated_seed_stays_a_regression(self) -> None:
        before, after = np.stack([all_right_but(872)] * 3), np.stack([all_right_but(872, *range(9))] * 3)
        assert one_cell_verdict(compare_seeds(before, after, paired=True, same_examples=True)) == "regressed"

    def test_seven_lost_examples_are_too_few_for_any_number_of_seeds(self) -> None:
        before, after = np.stack([all_right_but(872)] * 5), np.stack([all_right_but(872, *range(7))] * 5)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert change.p_value == mcnemar_p(7, 0)
        assert one_cell_verdict(change) == "unchanged"

    @pytest.mark.parametrize("paired", [True, False])
    @pytest.mark.parametrize("same_examples", [True, False])
    def test_equal_runs_are_unchanged(self, *, paired: bool, same_examples: bool) -> None:
        runs = np.random.default_rng(0).random((3, 100)) < 0.8
        change = compare_seeds(runs, runs.copy(), paired=paired, same_examples=same_examples)
        assert (change.delta, change.p_value) == (0.0, 1.0)
        if paired:
            assert change.interval == (0.0, 0.0)

    def test_unpaired_runs_with_equal_seeds_are_unchanged(self) -> None:
        before, after = np.stack([all_right_but(50, 1)] * 2), np.stack([all_right_but(50, 1)] * 3)
        change = compare_seeds(before, after, paired=False, same_examples=True)
        assert (change.p_value, change.interval, change.standard_error) == (1.0, (0.0, 0.0), 0.0)
        assert detectable_drop(change, ALPHA, TOLERANCE) == 8 / 50

    def test_losing_everything_is_certain(self) -> None:
        before, after = np.ones((2, 200), dtype=bool), np.zeros((2, 200), dtype=bool)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert (change.delta, change.interval) == (-1.0, (-1.0, -1.0))
        assert one_cell_verdict(change) == "regressed"

    def test_many_small_gains_do_not_confirm_a_drop_by_few_large_losses(self) -> None:
        before, after = np.ones((3, 900), dtype=bool), np.ones((3, 900), dtype=bool)
        after[:, :40] = False  # 40 examples lost by all seeds
        before[0, 100:200] = False  # 100 gained by one
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert change.delta < 0 < change.gains - change.losses
        assert change.p_value == 1.0

    def test_seeds_that_disagree_widen_the_interval(self) -> None:
        before = np.ones((4, 400), dtype=bool)
        agree, disagree = before.copy(), before.copy()
        agree[:, :20] = False
        for seed, lost in enumerate((2, 38, 5, 35)):
            disagree[seed, :lost] = False
        of_one_mind, of_many = (
            compare_seeds(before, after, paired=True, same_examples=True) for after in (agree, disagree)
        )
        assert of_one_mind.delta == of_many.delta
        assert one_cell_verdict(of_one_mind) == "regressed"
        assert one_cell_verdict(of_many) == "unchanged"

    def test_unpaired_runs_of_unequal_numbers_give_each_its_own_degrees_of_freedom(self) -> None:
        rng = np.random.default_rng(7)
        change = compare_seeds(rng.random((2, 90)) < 0.8, rng.random((5, 90)) < 0.8, paired=False, same_examples=True)
        assert [part.degrees_of_freedom for part in change.error_parts] == [1, 4, 89]
        assert (change.seeds, change.degrees_of_freedom) == (2, 1)

    @given(SEED_TABLES, st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
    @settings(max_examples=60)
    def test_swapping_the_runs_negates_delta_and_keeps_p(
        self, before: np.ndarray, paired: bool, same_examples: bool, seed: int
    ) -> None:
        rng = np.random.default_rng(seed)
        after = rng.random(before.shape) < 0.6
        order, seeds = rng.permutation(before.shape[1]), rng.permutation(before.shape[0])
        change = compare_seeds(before, after, paired=paired, same_examples=same_examples)
        back = compare_seeds(after, before, paired=paired, same_examples=same_examples)
        mixed = compare_seeds(
            before[seeds][:, order], after[seeds][:, order], paired=paired, same_examples=same_examples
        )
        assert (back.delta, back.losses, back.gains) == (-change.delta, change.gains, change.losses)
        assert back.p_value == pytest.approx(change.p_value)
        assert back.interval == pytest.approx((-change.interval.high, -change.interval.low))
        assert (mixed.delta, mixed.p_value, mixed.interval) == (change.delta, change.p_value, change.interval)
        assert 0 <= change.p_value <= 1
        assert -1 <= change.interval.low <= change.delta <= change.interval.high <= 1
        assert change.delta == pytest.approx(change.after - change.before)

    @pytest.mark.parametrize(
        ("before", "after", "paired"),
        [
            ((1, 10), (1, 10), True),
            ((2, 1), (2, 1), True),
            ((2, 10), (3, 10), True),
            ((2, 10), (2, 9), False),
            ((10,), (10,), True),
        ],
    )
    def test_other_shapes_are_refused(self, before: tuple[int, ...], after: tuple[int, ...], *, paired: bool) -> None:
        with pytest.raises(ValueError, match="shape"):
            compare_seeds(np.ones(before, bool), np.ones(after, bool), paired=paired, same_examples=True)

    def test_arrays_that_are_not_bool_are_refused(self) -> None:
        with pytest.raises(ValueError, match="int64"):
            compare_seeds(np.ones((2, 3), np.int64), np.ones((2, 3), np.int64), paired=True, same_examples=True)


class TestSeedsWithTheirOwnExamples:
    def test_paired_it_is_the_t_test_of_the_seed_differences(self) -> None:
        before, after = wrong_by_seed(60, (4, 6, 5, 3)), wrong_by_seed(60, (9, 16, 6, 13))
        change = compare_seeds(before, after, paired=True, same_examples=False)
        expected = stats.ttest_rel(after.mean(axis=1), before.mean(axis=1))
        assert change.p_value == pytest.approx(expected.pvalue)
        assert change.interval == pytest.approx(tuple(expected.confidence_interval()))
        assert (change.losses, change.gains, change.degrees_of_freedom) == (26, 0, 3)

    def test_unpaired_it_is_welchs_t_test_of_the_seed_means(self) -> None:
        before, after = wrong_by_seed(60, (4, 20, 12, 1)), wrong_by_seed(60, (9, 26, 16, 38))
        change = compare_seeds(before, after, paired=False, same_examples=False)
        expected = stats.ttest_ind(after.mean(axis=1), before.mean(axis=1), equal_var=False)
        assert change.p_value == pytest.approx(expected.pvalue)
        assert change.degrees_of_freedom == pytest.approx(expected.df)
        assert (change.losses, change.gains) == (0, 0)

    def test_two_seeds_that_agree_by_chance_prove_nothing(self) -> None:
        # Both have 10 losses and 4 gains of 872; a t test alone would see no variance and be certain.
        before, after = wrong_by_seed(872, (4, 4)), np.roll(wrong_by_seed(872, (10, 10)), 400, axis=1)
        change = compare_seeds(before, after, paired=True, same_examples=False)
        assert change.delta == pytest.approx(-6 / 872)
        assert one_cell_verdict(change) == "unchanged"
