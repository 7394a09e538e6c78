"""Test the score bounds against Tango's closed form and by counting every outcome."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from pytest_sst2.compare.score_bound import Differences, lower_bound

Z = stats.norm.isf(0.01)


def bound(losses: int, gains: int, total: int) -> float:
    values = np.array([-1] * losses + [1] * gains + [0] * (total - losses - gains))
    differences = Differences(values, 1)
    return lower_bound(differences.mean, lambda mean: Z**2 * differences.variance(mean))


def tango(losses: int, gains: int, total: int) -> float:
    """Return Tango's lower bound, written down from his equations 5 to 7."""

    def excess(delta: float) -> float:
        b = -losses - gains + (2 * total + losses - gains) * delta
        c = -losses * delta * (1 - delta)
        rate = (math.sqrt(max(b * b - 8 * total * c, 0)) - b) / (4 * total)
        variance = total * (2 * rate + delta * (1 - delta))
        return (gains - losses - total * delta) - Z * math.sqrt(max(variance, 0))

    return float(optimize.brentq(excess, -1 + 1e-9, (gains - losses) / total - 1e-9, xtol=1e-12))


@pytest.mark.parametrize(("total", "points"), [(400, 1.33), (872, 0.62), (5000, 0.11)])
def test_equal_answers_show_how_little_was_lost(total: int, points: float) -> None:
    # Without flips the bound solves n |d| = z² (1 - |d|): d = -z² / (n + z²).
    assert bound(0, 0, total) == pytest.approx(-(Z**2) / (total + Z**2), abs=1e-8)
    assert round(-100 * bound(0, 0, total), 2) == pytest.approx(points, abs=0.011)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(130, 900))
@settings(max_examples=60)
def test_with_one_seed_it_is_tango_s_bound(losses: int, gains: int, total: int) -> None:
    assert bound(losses, gains, total) == pytest.approx(tango(losses, gains, total), abs=1e-6)


def test_the_bound_of_a_worked_example() -> None:
    assert bound(28, 10, 872) == pytest.approx(-0.0390, abs=1e-4)


def test_losing_everything_is_the_lowest_bound() -> None:
    assert bound(50, 0, 50) == -1.0


@pytest.mark.parametrize(("total", "tolerance"), [(100, 0.02), (250, 0.01), (400, 0.01)])
@pytest.mark.parametrize("discordance", [0.02, 0.05, 0.1])
def test_a_true_drop_of_the_tolerance_is_held_in_at_most_one_percent(
    total: int, tolerance: float, discordance: float
) -> None:
    loss, gain = (discordance + tolerance) / 2, (discordance - tolerance) / 2
    size = 0.0
    for losses in range(total // 3):
        of_losses = float(stats.binom.pmf(losses, total, loss))
        # More gains raise the bound, so the bound exceeds the tolerance from a smallest number of gains on.
        if of_losses < 1e-9:
            continue
        least = next((gains for gains in range(total - losses + 1) if is_held(losses, gains, total, tolerance)), 0)
        size += of_losses * float(stats.binom.sf(least - 1, total - losses, gain / (1 - loss)))
    assert size <= 0.01


def is_held(losses: int, gains: int, total: int, tolerance: float) -> bool:
    values = np.array([-1] * losses + [1] * gains + [0] * (total - losses - gains))
    differences = Differences(values, 1)
    distance = differences.mean + tolerance
    return distance > 0 and distance**2 > Z**2 * differences.variance(-tolerance)


def test_seeds_that_agree_are_one_seed() -> None:
    one = np.array([-1] * 12 + [1] * 3 + [0] * 285)
    single, five = Differences(one, 1), Differences(25 * one, 25)
    assert five.variance(-0.02) == pytest.approx(single.variance(-0.02))
    assert (five.mean, five.discordance) == (single.mean, pytest.approx(0.05))
