"""A change is called one only if chance would seldom have made it, and a harmless upgrade passes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from pytest_sst2.compare.significance import (
    AccuracyChange,
    compare_one_seed,
    compare_seeds,
    detectable_drop,
    direction,
    holm,
    mcnemar_p,
    paired_bootstrap_interval,
    smallest_detectable_drop,
)
from pytest_sst2.config.options import ALPHA, TOLERANCE

POINT = 0.01


def right(total: int, *wrong: int) -> np.ndarray:
    """All examples right but those."""
    answers = np.ones(total, dtype=bool)
    answers[list(wrong)] = False
    return answers


def verdict(delta: float, p_value: float) -> str:
    """The decision for a run of one cell."""
    return direction(delta, holm([p_value])[0], alpha=ALPHA, tolerance=TOLERANCE)


def verdict_of(change: AccuracyChange) -> str:
    return verdict(change.delta, change.p_value)


class TestMcNemar:
    def test_eight_losses_without_a_gain_are_two_in_two_to_the_eighth(self) -> None:
        assert mcnemar_p(8, 0) == pytest.approx(2 / 2**8)

    def test_of_thirty_discordant_examples_a_net_twelve_is_needed_for_five_percent(self) -> None:
        assert mcnemar_p(20, 10) == pytest.approx(0.0987, abs=5e-5)
        assert mcnemar_p(21, 9) == pytest.approx(0.0428, abs=5e-5)

    def test_nothing_discordant_says_nothing(self) -> None:
        assert mcnemar_p(0, 0) == 1.0

    def test_as_many_gains_as_losses_say_nothing(self) -> None:
        assert mcnemar_p(7, 7) == 1.0

    @given(st.integers(0, 300), st.integers(0, 300))
    def test_it_is_the_exact_binomial_test_and_the_same_both_ways(self, losses: int, gains: int) -> None:
        assert mcnemar_p(losses, gains) == mcnemar_p(gains, losses)
        if losses + gains:
            assert mcnemar_p(losses, gains) == pytest.approx(stats.binomtest(losses, losses + gains).pvalue, rel=1e-9)

    def test_a_negative_count_is_refused(self) -> None:
        with pytest.raises(ValueError, match="-1"):
            mcnemar_p(-1, 3)


class TestBootstrap:
    def test_it_lies_close_to_the_normal_interval(self) -> None:
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
        wide, narrow = (paired_bootstrap_interval(30, 12, 872, confidence=each) for each in (0.95, 0.5))
        assert wide.low < narrow.low < narrow.high < wide.high

    def test_nothing_discordant_is_an_interval_of_nothing(self) -> None:
        assert paired_bootstrap_interval(0, 0, 872) == (0.0, 0.0)

    @pytest.mark.parametrize("counts", [(5, 6, 10), (-1, 0, 10), (0, 0, 0)])
    def test_counts_that_do_not_fit_are_refused(self, counts: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="do not fit"):
            paired_bootstrap_interval(*counts)


class TestSmallestDetectableDrop:
    def test_without_gains_it_takes_eight_losses(self) -> None:
        assert smallest_detectable_drop(0, 872, ALPHA, TOLERANCE) == 8 / 872

    def test_in_many_examples_the_tolerance_asks_for_more_than_the_test(self) -> None:
        # 0.5 points of 5,000 are 25 examples; 25 itself is still within the tolerance.
        assert smallest_detectable_drop(0, 5000, ALPHA, TOLERANCE) == 26 / 5000

    def test_in_five_examples_nothing_can_be_detected(self) -> None:
        assert smallest_detectable_drop(0, 5, ALPHA, TOLERANCE) is None

    def test_nor_where_too_few_examples_are_left_to_lose(self) -> None:
        assert smallest_detectable_drop(500, 872, ALPHA, TOLERANCE) is None

    @given(st.integers(0, 120), st.integers(1, 1500), st.sampled_from([0.05, ALPHA, ALPHA / 200]))
    def test_one_loss_fewer_would_not_have_been_called(self, gains: int, total: int, alpha: float) -> None:
        gains = min(gains, total)
        drop = smallest_detectable_drop(gains, total, alpha, TOLERANCE)

        def called(losses: int) -> bool:
            return mcnemar_p(losses, gains) <= alpha and (losses - gains) / total > TOLERANCE + 1e-9

        if drop is None:
            assert total < 2 * gains or not called(total - gains)
        else:
            losses = round(drop * total) + gains
            assert called(losses)
            assert not called(losses - 1)

    def test_gains_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(ValueError, match="9 gains do not fit into 8 examples"):
            smallest_detectable_drop(9, 8, ALPHA, TOLERANCE)


class TestHolm:
    def test_a_worked_example(self) -> None:
        # Sorted: 4 x 0.01, 3 x 0.02, then 2 x 0.022, which is less than the 0.06 before it, and 1 x 0.5.
        assert holm([0.02, 0.5, 0.01, 0.022]) == pytest.approx([0.06, 0.5, 0.04, 0.06])

    def test_one_is_left_as_it_is(self) -> None:
        assert holm([0.03]) == [0.03]

    def test_none_gives_none(self) -> None:
        assert holm([]) == []

    @given(st.lists(st.floats(0, 1), max_size=30))
    def test_it_is_never_less_never_more_than_one_and_keeps_the_order(self, p_values: list[float]) -> None:
        adjusted = holm(p_values)
        assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
        by_size = [a for _, a in sorted(zip(p_values, adjusted, strict=True))]
        assert by_size == sorted(by_size)
        assert holm(p_values[::-1]) == adjusted[::-1]

    @pytest.mark.parametrize("wrong", [-0.1, 1.1, math.nan])
    def test_what_is_no_probability_is_refused(self, wrong: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm([0.5, wrong])


class TestDirection:
    def test_it_takes_both_a_small_p_and_more_than_the_tolerance(self) -> None:
        assert verdict(-0.02, 0.001) == "regressed"
        assert verdict(0.02, 0.001) == "improved"
        assert verdict(-0.02, 0.011) == "unchanged"
        assert verdict(-0.004, 0.001) == "unchanged"

    def test_a_p_of_just_alpha_is_enough(self) -> None:
        assert verdict(-0.02, ALPHA) == "regressed"

    @pytest.mark.parametrize("before", [0.8, 0.805, 0.9, 0.555])
    def test_a_drop_of_just_the_tolerance_is_none_however_it_was_rounded(self, before: float) -> None:
        assert verdict((before - 0.005) - before, 0.0) == "unchanged"
        assert verdict((before + 0.005) - before, 0.0) == "unchanged"

    def test_one_example_more_in_a_million_is_one(self) -> None:
        assert verdict(-5001 / 1_000_000, 0.0) == "regressed"


class TestOneSeed:
    def test_the_counts_the_delta_and_the_test_of_ten_examples(self) -> None:
        change = compare_one_seed(right(10, 0), right(10, 1, 2, 3))
        assert (change.losses, change.gains, change.examples, change.seeds) == (3, 1, 10, 1)
        assert (change.before, change.after, change.delta) == pytest.approx((0.9, 0.7, -0.2))
        assert change.p_value == mcnemar_p(3, 1)
        assert change.interval == paired_bootstrap_interval(3, 1, 10)
        assert (change.test, change.standard_error, change.degrees_of_freedom) == ("exact McNemar", None, None)

    def test_losing_a_hundred_of_872_is_a_regression_and_the_reverse_an_improvement(self) -> None:
        good, bad = right(872), right(872, *range(100))
        assert verdict_of(compare_one_seed(good, bad)) == "regressed"
        assert verdict_of(compare_one_seed(bad, good)) == "improved"

    def test_two_equal_runs_are_unchanged_and_eight_losses_would_have_been_seen(self) -> None:
        change = compare_one_seed(right(872, 5), right(872, 5))
        assert (change.p_value, change.interval) == (1.0, (0.0, 0.0))
        assert detectable_drop(change, ALPHA, TOLERANCE) == 8 / 872

    def test_the_seed_is_that_of_the_bootstrap(self) -> None:
        change = compare_one_seed(right(9000, *range(300)), right(9000, *range(200, 700)), seed=4)
        assert change.interval == paired_bootstrap_interval(400, 200, 9000, seed=4)
        assert change.interval != paired_bootstrap_interval(400, 200, 9000, seed=0)

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (right(3), right(4)),
            (right(0), right(0)),
            (right(3)[None], right(3)[None]),
            (np.array([1, 0, 1]), np.array([1, 0, 0])),
        ],
    )
    def test_other_shapes_and_types_are_refused(self, before: np.ndarray, after: np.ndarray) -> None:
        with pytest.raises(ValueError, match="shape"):
            compare_one_seed(before, after)


SEED_TABLES = hnp.arrays(np.bool_, st.tuples(st.integers(2, 5), st.integers(2, 25)))


class TestSeveralSeeds:
    def test_the_variance_of_a_table_worked_by_hand(self) -> None:
        # d = [[-1, 0, 0], [-1, -1, 0]]; of the total 1.5 (squared deviations) the seeds have 1/6 (1 degree of freedom),
        # the examples 1 (2), the residual 1/3 (2): mean squares 1/6, 1/2, 1/6, and (1/6 + 1/2 - 1/6) / 6 = 1/12.
        before, after = np.stack([right(3)] * 2), np.stack([right(3, 0), right(3, 0, 1)])
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert (change.delta, change.losses, change.gains) == (-0.5, 2, 0)
        assert change.standard_error == pytest.approx(math.sqrt(1 / 12))
        assert [tuple(part) for part in change.error_parts] == [pytest.approx((1 / 36, 1)), pytest.approx((2 / 36, 2))]

    def test_the_variance_of_unpaired_seeds_worked_by_hand(self) -> None:
        # Seed means before 1/4, 1/2 and after 1, 3/4: variance 1/32 each, over two seeds 1/64, together 1/32. The
        # examples' differences of their shares of seeds are 1/2, 0, 1/2, 1: variance 1/6, over four examples 1/24.
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
        before, after = right(872, *range(20)), right(872, *range(10, 60))  # 40 losses, 10 gains
        one = compare_one_seed(before, after)
        three = compare_seeds(np.stack([before] * 3), np.stack([after] * 3), paired=True, same_examples=True)
        assert (three.losses, three.gains, three.delta) == (one.losses, one.gains, pytest.approx(one.delta))
        assert three.interval == pytest.approx(one.interval, abs=0.0015)
        assert three.p_value == pytest.approx(one.p_value)
        assert detectable_drop(three, ALPHA, TOLERANCE) == pytest.approx(
            detectable_drop(one, ALPHA, TOLERANCE), abs=0.005
        )

    def test_and_a_regression_of_one_repeated_seed_stays_one(self) -> None:
        before, after = np.stack([right(872)] * 3), np.stack([right(872, *range(9))] * 3)
        assert verdict_of(compare_seeds(before, after, paired=True, same_examples=True)) == "regressed"

    def test_seven_lost_examples_are_too_few_however_many_seeds_lose_them(self) -> None:
        before, after = np.stack([right(872)] * 5), np.stack([right(872, *range(7))] * 5)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert change.p_value == mcnemar_p(7, 0)
        assert verdict_of(change) == "unchanged"

    @pytest.mark.parametrize("paired", [True, False])
    @pytest.mark.parametrize("same_examples", [True, False])
    def test_equal_runs_are_unchanged(self, *, paired: bool, same_examples: bool) -> None:
        runs = np.random.default_rng(0).random((3, 100)) < 0.8
        change = compare_seeds(runs, runs.copy(), paired=paired, same_examples=same_examples)
        assert (change.delta, change.p_value) == (0.0, 1.0)
        if paired:
            assert change.interval == (0.0, 0.0)

    def test_runs_all_alike_are_unchanged_also_unpaired(self) -> None:
        before, after = np.stack([right(50, 1)] * 2), np.stack([right(50, 1)] * 3)
        change = compare_seeds(before, after, paired=False, same_examples=True)
        assert (change.p_value, change.interval, change.standard_error) == (1.0, (0.0, 0.0), 0.0)
        assert detectable_drop(change, ALPHA, TOLERANCE) == 8 / 50

    def test_everything_lost_is_as_certain_as_it_gets(self) -> None:
        before, after = np.ones((2, 200), dtype=bool), np.zeros((2, 200), dtype=bool)
        change = compare_seeds(before, after, paired=True, same_examples=True)
        assert (change.delta, change.interval) == (-1.0, (-1.0, -1.0))
        assert verdict_of(change) == "regressed"

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
        assert verdict_of(of_one_mind) == "regressed"
        assert verdict_of(of_many) == "unchanged"

    def test_unpaired_runs_of_unequal_numbers_give_each_its_own_degrees_of_freedom(self) -> None:
        rng = np.random.default_rng(7)
        change = compare_seeds(rng.random((2, 90)) < 0.8, rng.random((5, 90)) < 0.8, paired=False, same_examples=True)
        assert [part.degrees_of_freedom for part in change.error_parts] == [1, 4, 89]
        assert (change.seeds, change.degrees_of_freedom) == (2, 1)

    @given(SEED_TABLES, st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
    @settings(max_examples=60)
    def test_backwards_the_delta_turns_and_the_p_value_stays(
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
        with pytest.raises(ValueError, match="wanted"):
            compare_seeds(np.ones(before, bool), np.ones(after, bool), paired=paired, same_examples=True)

    def test_predictions_in_place_of_right_and_wrong_are_refused(self) -> None:
        with pytest.raises(ValueError, match="int64"):
            compare_seeds(np.ones((2, 3), np.int64), np.ones((2, 3), np.int64), paired=True, same_examples=True)


class TestSeedsWithTheirOwnExamples:
    def test_paired_it_is_the_t_test_of_the_seed_differences(self) -> None:
        before, after = right_by_seed(60, (4, 6, 5, 3)), right_by_seed(60, (9, 16, 6, 13))
        change = compare_seeds(before, after, paired=True, same_examples=False)
        expected = stats.ttest_rel(after.mean(axis=1), before.mean(axis=1))
        assert change.p_value == pytest.approx(expected.pvalue)
        assert change.interval == pytest.approx(tuple(expected.confidence_interval()))
        assert (change.losses, change.gains, change.degrees_of_freedom) == (26, 0, 3)

    def test_unpaired_it_is_welchs_t_test_of_the_seed_means(self) -> None:
        before, after = right_by_seed(60, (4, 20, 12, 1)), right_by_seed(60, (9, 26, 16, 38))
        change = compare_seeds(before, after, paired=False, same_examples=False)
        expected = stats.ttest_ind(after.mean(axis=1), before.mean(axis=1), equal_var=False)
        assert change.p_value == pytest.approx(expected.pvalue)
        assert change.degrees_of_freedom == pytest.approx(expected.df)
        assert (change.losses, change.gains) == (0, 0)

    def test_two_seeds_that_agree_by_chance_prove_nothing(self) -> None:
        # Both have 10 losses and 4 gains of 872; a t test alone would see no variance and be certain.
        before, after = right_by_seed(872, (4, 4)), np.roll(right_by_seed(872, (10, 10)), 400, axis=1)
        change = compare_seeds(before, after, paired=True, same_examples=False)
        assert change.delta == pytest.approx(-6 / 872)
        assert verdict_of(change) == "unchanged"


def right_by_seed(total: int, wrong: tuple[int, ...]) -> np.ndarray:
    """Each seed with so many wrong answers, from the first example on."""
    return np.stack([right(total, *range(count)) for count in wrong])


class TestDetectableDrop:
    def test_with_several_seeds_it_is_the_margin_at_alpha(self) -> None:
        before = np.random.default_rng(8).random((5, 872)) < 0.85
        after = before ^ (np.random.default_rng(9).random((5, 872)) < np.array([[0.01], [0.08], [0.02], [0.2], [0.1]]))
        change = compare_seeds(before, after, paired=True, same_examples=True)
        drop = detectable_drop(change, ALPHA, TOLERANCE)
        expected = sum(variance * stats.t.isf(ALPHA / 2, df) ** 2 for variance, df in change.error_parts)
        assert drop == pytest.approx(math.sqrt(expected))
        assert detectable_drop(change, ALPHA, 0.1) == 88 / 872

    def test_two_seeds_that_disagree_could_have_shown_no_drop_at_all(self) -> None:
        before, after = right_by_seed(100, (5, 5)), right_by_seed(100, (2, 12))
        assert detectable_drop(compare_seeds(before, after, paired=True, same_examples=True), ALPHA, TOLERANCE) is None


def allowed(comparisons: int, rate: float = ALPHA) -> float:
    """As many alarms as a rate may give: the rate itself, and three standard errors of sampling upwards."""
    return comparisons * rate + 3 * math.sqrt(comparisons * rate * (1 - rate))


class TestFalseAlarms:
    """Runs between which nothing changed. Improvements count as alarms too, so that the bound is the test's own."""

    COMPARISONS = 1000

    @pytest.mark.parametrize("total", [400, 872, 5000])
    @pytest.mark.parametrize("discordance", [0.0, 0.02, 0.08])
    def test_of_one_seed_are_at_most_alpha(self, total: int, discordance: float) -> None:
        rng = np.random.default_rng(total)
        shares = [discordance / 2, discordance / 2, 1 - discordance]
        counts = rng.multinomial(total, shares, size=self.COMPARISONS)[:, :2].tolist()
        verdicts = [verdict((gains - losses) / total, mcnemar_p(losses, gains)) for losses, gains in counts]
        assert verdicts.count("regressed") <= ALPHA * self.COMPARISONS
        assert self.COMPARISONS - verdicts.count("unchanged") <= allowed(self.COMPARISONS)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("paired", [True, False])
    @pytest.mark.parametrize("same_examples", [True, False])
    def test_of_several_seeds_that_differ_by_points_are_at_most_alpha(
        self, seeds: int, *, paired: bool, same_examples: bool
    ) -> None:
        rng = np.random.default_rng(seeds)
        verdicts = []
        for _ in range(self.COMPARISONS):
            spread = rng.uniform(1 * POINT, 2 * POINT)
            before, after = two_runs(rng, seeds, spread, paired=paired, same_examples=same_examples)
            verdicts.append(verdict_of(compare_seeds(before, after, paired=paired, same_examples=same_examples)))
        assert verdicts.count("regressed") <= allowed(self.COMPARISONS, ALPHA / 2)
        assert self.COMPARISONS - verdicts.count("unchanged") <= allowed(self.COMPARISONS)


def two_runs(
    rng: np.random.Generator, seeds: int, spread: float, *, paired: bool, same_examples: bool, drop: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Two runs of 80 % accuracy, of which each seed's own differs by a standard deviation of ``spread``.

    An example is right if its easiness, the seed's skill and a little noise are together above a bar. So examples are
    correlated, and a better seed is right where a worse one is, and then more. The skill is drawn anew for each run,
    as after an upgrade that does no harm but sends training along another path.
    """
    bar, density = -0.8416, 0.28  # of the normal distribution, with 80 % above the bar
    easiness = rng.standard_normal((1 if same_examples else seeds, 872), dtype=np.float32)
    other = easiness if paired or same_examples else rng.standard_normal((seeds, 872), dtype=np.float32)

    def run(easy: np.ndarray, missing: float) -> np.ndarray:
        skill = (rng.standard_normal((seeds, 1), dtype=np.float32) * spread - missing) / density
        return easy + skill + 0.05 * rng.standard_normal((seeds, 872), dtype=np.float32) > bar

    return run(easiness, 0.0), run(other, drop)


class TestPower:
    RUNS = 400

    def test_a_drop_of_three_points_among_four_percent_of_noise_is_found_in_most_runs(self) -> None:
        rng = np.random.default_rng(1)
        counts = rng.multinomial(872, [0.02 + 3 * POINT, 0.02, 0.93], size=self.RUNS)[:, :2].tolist()
        found = [verdict((gains - losses) / 872, mcnemar_p(losses, gains)) for losses, gains in counts]
        assert found.count("regressed") > 0.7 * self.RUNS
        assert found.count("improved") == 0

    def test_so_is_one_of_three_points_by_five_seeds_that_differ_by_half_a_point(self) -> None:
        rng = np.random.default_rng(2)
        found = [
            verdict_of(
                compare_seeds(
                    *two_runs(rng, 5, 0.5 * POINT, paired=True, same_examples=True, drop=3 * POINT),
                    paired=True,
                    same_examples=True,
                )
            )
            for _ in range(self.RUNS)
        ]
        assert found.count("regressed") > 0.7 * self.RUNS
        assert found.count("improved") == 0
