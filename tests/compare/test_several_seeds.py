"""Test the comparison of accuracies: which variance is used, with numbers worked by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.compare.significance import AccuracyChange, mcnemar_p
from pytest_sst2.compare.training_spread import TrainingSpread
from pytest_sst2.config.options import ALPHA
from tests.support.correctness_arrays import all_right_but, one_cell_verdict, wrong_by_seed

TABLES = hnp.arrays(np.bool_, st.tuples(st.integers(2, 6), st.integers(2, 25)))


def compared(before: np.ndarray, after: np.ndarray, **changes: Any) -> AccuracyChange:
    arguments = {"paired": True, "same_examples": True, "is_random": True, "alpha": ALPHA, **changes}
    return compare_accuracy(np.atleast_2d(before), np.atleast_2d(after), **arguments)


def lost(seeds: int, total: int, *sentences: int) -> np.ndarray:
    return np.stack([all_right_but(total, *sentences)] * seeds)


class TestSentencesAlone:
    def test_the_counts_the_delta_and_the_test_of_ten_examples(self) -> None:
        change = compared(all_right_but(10, 0), all_right_but(10, 1, 2, 3), is_random=False)
        assert (change.losses, change.gains, change.examples, change.seeds) == (3, 1, 10, 1)
        assert (change.before, change.after, change.delta) == pytest.approx((0.9, 0.7, -0.2))
        assert change.p_worse == pytest.approx(mcnemar_p(3, 1), abs=0.1)
        assert (change.test, change.variance_source) == ("exact McNemar", "")

    def test_losing_a_hundred_of_872_is_a_regression_and_the_reverse_an_improvement(self) -> None:
        good, bad = all_right_but(872), all_right_but(872, *range(100))
        assert one_cell_verdict(compared(good, bad, is_random=False)) == "regressed"
        assert one_cell_verdict(compared(bad, good, is_random=False)) == "improved"

    def test_equal_answers_of_872_sentences_hold_and_of_400_are_undecided(self) -> None:
        for total, verdict in ((872, "held"), (400, "undecided")):
            change = compared(all_right_but(total, 5), all_right_but(total, 5), is_random=False)
            assert (change.p_worse, change.p_better, one_cell_verdict(change)) == (1.0, 1.0, verdict)

    def test_seeds_that_are_not_random_do_not_need_a_t_quantile(self) -> None:
        one = compared(lost(1, 872), lost(1, 872, *range(30)), is_random=False)
        three = compared(lost(3, 872), lost(3, 872, *range(30)), is_random=False)
        assert three.at_worst == pytest.approx(one.at_worst)
        assert three.p_worse == pytest.approx(one.p_worse)

    def test_seeds_with_their_own_sentences_may_share_them(self) -> None:
        before, after = wrong_by_seed(400, (0, 0)), wrong_by_seed(400, (20, 20))
        change = compared(before, after, is_random=False, same_examples=False)
        same = compared(before, after, is_random=False)
        assert change.at_worst == pytest.approx(same.at_worst)
        assert change.p_worse >= 2 * mcnemar_p(20, 0)


class TestRandomTrainings:
    def test_ten_pairs_have_the_variance_of_the_two_way_table(self) -> None:
        rng = np.random.default_rng(5)
        before = rng.random((10, 300)) < 0.8
        after = before & (rng.random((10, 300)) > np.linspace(0.01, 0.2, 10)[:, None])
        d = after.astype(float) - before
        of_seeds = d.mean(axis=1).var(ddof=1) / 10
        change = compared(before, after)
        # The seeds' part alone is a lower limit of the distance to the bound.
        assert change.delta - change.at_worst > stats.t.isf(ALPHA, 9) * math.sqrt(of_seeds)
        assert change.test == "seeds and sentences random, paired seeds"

    def test_fewer_pairs_are_draws(self) -> None:
        before, after = wrong_by_seed(400, (40, 60, 50, 45)), wrong_by_seed(400, (80, 60, 100, 90))
        change = compared(before, after)
        assert change.test == "seeds and sentences random, unpaired seeds"
        assert change.at_worst == pytest.approx(compared(before, after, paired=False).at_worst)

    def test_one_seed_has_the_stated_spread(self) -> None:
        before, after = all_right_but(872, *range(140)), all_right_but(872, *range(160))
        change = compared(before, after)
        assert change.variance_source == "an assumed spread of 2.5 points between trainings"
        assert change.delta - change.at_worst > stats.norm.isf(ALPHA) * math.sqrt(2) * 0.025
        assert one_cell_verdict(change) == "undecided"

    def test_one_seed_that_falls_from_84_to_55_percent_is_regressed_and_two_points_are_undecided(self) -> None:
        before = all_right_but(872, *range(140))
        assert one_cell_verdict(compared(before, all_right_but(872, *range(392)))) == "regressed"
        assert one_cell_verdict(compared(before, all_right_but(872, *range(157)))) == "undecided"

    def test_a_calibrated_spread_replaces_the_stated_one(self) -> None:
        before, after = all_right_but(872, *range(140)), all_right_but(872, *range(192))
        spread = TrainingSpread(0.002, 4, "five seeds of the floor")
        change = compared(before, after, spread=spread)
        assert (change.variance_source, one_cell_verdict(change)) == ("five seeds of the floor", "regressed")

    def test_one_seed_borrows_the_spread_of_the_side_with_several(self) -> None:
        before, after = wrong_by_seed(872, (140, 142, 139, 141, 140)), wrong_by_seed(872, (190,))
        change = compared(before, after, paired=False)
        assert change.variance_source == "up to 2 times the spread of the 5 seeds of one side"
        assert one_cell_verdict(change) == "regressed"
        variance = before.mean(axis=1).var(ddof=1) * (1 / 5 + 2**2)
        assert change.delta - change.at_worst > stats.t.isf(ALPHA, 4) * math.sqrt(variance)

    def test_a_wide_spread_of_few_seeds_is_not_wider_than_the_stated_upper_figure(self) -> None:
        before, after = wrong_by_seed(872, (100, 180, 140)), wrong_by_seed(872, (140,))
        stated = "an assumed spread of 2.5 points between trainings"
        assert compared(before, after, paired=False).variance_source == stated
        floor = TrainingSpread(0.013, 4, "five seeds of the floor")
        assert compared(before[:1], after, spread=floor).variance_source == stated

    def test_seven_lost_sentences_give_the_p_of_the_exact_test_for_any_number_of_seeds(self) -> None:
        assert compared(lost(5, 872), lost(5, 872, *range(7))).p_worse == pytest.approx(0.5**7)

    def test_a_set_of_sentences_that_all_seeds_lose_is_a_regression(self) -> None:
        before = np.random.default_rng(0).random((8, 872)) < 0.85
        after = before ^ (np.random.default_rng(1).random((8, 872)) < 0.01)
        after[:, :30] = False
        assert one_cell_verdict(compared(before, after)) == "regressed"

    def test_equal_runs_claim_no_certainty(self) -> None:
        change = compared(lost(5, 400, 1), lost(5, 400, 1))
        assert change.at_worst == pytest.approx(-0.01334, abs=1e-4)

    @pytest.mark.parametrize("paired", [True, False])
    def test_seeds_with_their_own_sentences_are_tested_by_t_over_seeds(self, *, paired: bool) -> None:
        before, after = wrong_by_seed(60, (4, 20, 12, 1, 7) * 2), wrong_by_seed(60, (9, 26, 16, 38, 30) * 2)
        change = compared(before, after, paired=paired, same_examples=False)
        one, other = before.mean(axis=1), after.mean(axis=1)
        test = stats.ttest_rel(other, one) if paired else stats.ttest_ind(other, one, equal_var=False)
        assert change.p_worse == pytest.approx(test.pvalue / 2, rel=1e-4)
        assert (change.test, change.delta) == (
            f"seeds random, {'paired' if paired else 'unpaired'} seeds",
            pytest.approx(other.mean() - one.mean()),
        )

    def test_losing_everything_is_certain(self) -> None:
        change = compared(np.ones((3, 200), dtype=bool), np.zeros((3, 200), dtype=bool))
        assert (change.delta, change.at_worst, one_cell_verdict(change)) == (-1.0, -1.0, "regressed")


@given(TABLES, st.booleans(), st.booleans(), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_swapping_the_runs_mirrors_everything(
    before: np.ndarray, paired: bool, same_examples: bool, is_random: bool, seed: int
) -> None:
    after = np.random.default_rng(seed).random(before.shape) < 0.6
    arguments = {"paired": paired, "same_examples": same_examples, "is_random": is_random or not paired}
    change, back = compared(before, after, **arguments), compared(after, before, **arguments)
    assert (back.delta, back.losses, back.gains) == (-change.delta, change.gains, change.losses)
    assert (back.p_worse, back.p_better) == pytest.approx((change.p_better, change.p_worse))
    assert (back.at_worst, back.at_best) == pytest.approx((-change.at_best, -change.at_worst), abs=1e-6)
    assert -1 <= change.at_worst <= change.delta + 1e-9 <= change.at_best + 2e-9 <= 1 + 2e-9
    assert 0 <= change.p_worse <= 1


@pytest.mark.parametrize(
    ("before", "after", "paired"), [((2, 10), (3, 10), True), ((2, 10), (2, 9), False), ((0, 4), (0, 4), True)]
)
def test_other_shapes_are_refused(before: tuple[int, ...], after: tuple[int, ...], *, paired: bool) -> None:
    with pytest.raises(ValueError, match="shape"):
        compared(np.ones(before, bool), np.ones(after, bool), paired=paired)
