"""Test the rule of the verdict, the detectable drop, false alarms and power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pytest_sst2.compare.several_seeds import compare_seeds
from pytest_sst2.compare.significance import mcnemar_p
from pytest_sst2.compare.verdict import detectable_drop, smallest_detectable_drop
from pytest_sst2.config.options import ALPHA, TOLERANCE
from tests.support.correctness_arrays import POINT, decide, one_cell_verdict, wrong_by_seed


class TestVerdict:
    def test_a_change_needs_a_small_p_and_more_than_the_tolerance(self) -> None:
        assert decide(-0.02, 0.001) == "regressed"
        assert decide(0.02, 0.001) == "improved"
        assert decide(-0.02, 0.011) == "unchanged"
        assert decide(-0.004, 0.001) == "unchanged"

    def test_a_p_of_exactly_alpha_is_enough(self) -> None:
        assert decide(-0.02, ALPHA) == "regressed"

    @pytest.mark.parametrize("before", [0.8, 0.805, 0.9, 0.555])
    def test_a_drop_of_exactly_the_tolerance_is_unchanged_despite_rounding(self, before: float) -> None:
        assert decide((before - 0.005) - before, 0.0) == "unchanged"
        assert decide((before + 0.005) - before, 0.0) == "unchanged"

    def test_one_example_more_than_the_tolerance_is_regressed(self) -> None:
        assert decide(-5001 / 1_000_000, 0.0) == "regressed"


class TestSmallestDetectableDrop:
    def test_without_gains_it_takes_eight_losses(self) -> None:
        assert smallest_detectable_drop(0, 872, ALPHA, TOLERANCE) == 8 / 872

    def test_with_many_examples_the_tolerance_needs_more_losses_than_the_test(self) -> None:
        # 0.5 points of 5,000 are 25 examples; 25 itself is still within the tolerance.
        assert smallest_detectable_drop(0, 5000, ALPHA, TOLERANCE) == 26 / 5000

    def test_in_five_examples_nothing_can_be_detected(self) -> None:
        assert smallest_detectable_drop(0, 5, ALPHA, TOLERANCE) is None

    def test_nothing_can_be_detected_if_too_few_examples_are_left_to_lose(self) -> None:
        assert smallest_detectable_drop(500, 872, ALPHA, TOLERANCE) is None

    @given(st.integers(0, 120), st.integers(1, 1500), st.sampled_from([0.05, ALPHA, ALPHA / 200]))
    def test_one_loss_fewer_is_not_called_regressed(self, gains: int, total: int, alpha: float) -> None:
        gains = min(gains, total)
        drop = smallest_detectable_drop(gains, total, alpha, TOLERANCE)

        def is_regressed(losses: int) -> bool:
            return mcnemar_p(losses, gains) <= alpha and (losses - gains) / total > TOLERANCE + 1e-9

        if drop is None:
            assert total < 2 * gains or not is_regressed(total - gains)
        else:
            losses = round(drop * total) + gains
            assert is_regressed(losses)
            assert not is_regressed(losses - 1)

    def test_more_gains_than_examples_are_refused(self) -> None:
        with pytest.raises(ValueError, match="9 gains are impossible with 8 examples"):
            smallest_detectable_drop(9, 8, ALPHA, TOLERANCE)


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
        before, after = wrong_by_seed(100, (5, 5)), wrong_by_seed(100, (2, 12))
        assert detectable_drop(compare_seeds(before, after, paired=True, same_examples=True), ALPHA, TOLERANCE) is None


def allowed(comparisons: int, rate: float = ALPHA) -> float:
    """Return the most alarms that a rate allows: its expectation and three standard errors."""
    return comparisons * rate + 3 * math.sqrt(comparisons * rate * (1 - rate))


class TestFalseAlarms:
    """Simulate runs between which nothing changed. Improvements count as alarms, so the bound is that of the test."""

    COMPARISONS = 1000

    @pytest.mark.parametrize("total", [400, 872, 5000])
    @pytest.mark.parametrize("discordance", [0.0, 0.02, 0.08])
    def test_false_alarms_of_one_seed_are_at_most_alpha(self, total: int, discordance: float) -> None:
        rng = np.random.default_rng(total)
        probabilities = [discordance / 2, discordance / 2, 1 - discordance]
        counts = rng.multinomial(total, probabilities, size=self.COMPARISONS)[:, :2].tolist()
        verdicts = [decide((gains - losses) / total, mcnemar_p(losses, gains)) for losses, gains in counts]
        assert verdicts.count("regressed") <= ALPHA * self.COMPARISONS
        assert self.COMPARISONS - verdicts.count("unchanged") <= allowed(self.COMPARISONS)

    @pytest.mark.parametrize("seeds", [2, 3, 5])
    @pytest.mark.parametrize("paired", [True, False])
    @pytest.mark.parametrize("same_examples", [True, False])
    def test_false_alarms_of_several_seeds_are_at_most_alpha(
        self, seeds: int, *, paired: bool, same_examples: bool
    ) -> None:
        rng = np.random.default_rng(seeds)
        verdicts = []
        for _ in range(self.COMPARISONS):
            spread = rng.uniform(1 * POINT, 2 * POINT)
            before, after = two_runs(rng, seeds, spread, paired=paired, same_examples=same_examples)
            verdicts.append(one_cell_verdict(compare_seeds(before, after, paired=paired, same_examples=same_examples)))
        assert verdicts.count("regressed") <= allowed(self.COMPARISONS, ALPHA / 2)
        assert self.COMPARISONS - verdicts.count("unchanged") <= allowed(self.COMPARISONS)


def two_runs(
    rng: np.random.Generator, seeds: int, spread: float, *, paired: bool, same_examples: bool, drop: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return two runs of 80 % accuracy whose seeds differ by a standard deviation of ``spread``.

    An example is right if the sum of its easiness, the seed's skill and a little noise exceeds a bar. So examples are
    correlated: a better seed is right wherever a worse one is, and on more examples. Each run draws its skills anew,
    like a harmless upgrade that changes the course of training.
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
        verdicts = [decide((gains - losses) / 872, mcnemar_p(losses, gains)) for losses, gains in counts]
        assert verdicts.count("regressed") > 0.7 * self.RUNS
        assert verdicts.count("improved") == 0

    def test_five_seeds_that_differ_by_half_a_point_find_three_points_in_most_runs(self) -> None:
        rng = np.random.default_rng(2)
        verdicts = [
            one_cell_verdict(
                compare_seeds(
                    *two_runs(rng, 5, 0.5 * POINT, paired=True, same_examples=True, drop=3 * POINT),
                    paired=True,
                    same_examples=True,
                )
            )
            for _ in range(self.RUNS)
        ]
        assert verdicts.count("regressed") > 0.7 * self.RUNS
        assert verdicts.count("improved") == 0
