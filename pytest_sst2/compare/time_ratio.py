"""Estimate how many times as long some work takes as before, and how much of that may be noise.

No single clock can be trusted. Wall seconds grow if other programs take the cores. Seconds in units of the machine's
speed are wrong if the unit was measured at a bad moment or by other kernels. The noise of a ratio therefore covers
every estimate that the records allow, so a time is slower only if it is by all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

# Noise of one round against one round on a steady machine, and by which factor the spread of the machine's own speed
# widens it. docs/verdicts.md has the measurements.
ONE_ROUND_MARGIN = 0.40
MACHINE_SPREAD_FACTOR = 2.0
# Shorter times are equal.
RESOLUTION_SECONDS = 1e-3
# Larger ratios carry no more information, and their powers would overflow.
LARGEST_LOG = math.log(1e9)


@dataclass(frozen=True)
class Timing:
    """The time of some work in one round.

    Attributes:
        seconds: Wall time.
        idle_seconds: The least time that it would have taken on a machine without other programs, at most ``seconds``.
        unit: Seconds of the machine's fixed work at that time.
        unit_spread: Range of ``unit`` during the round, divided by its mean.
    """

    seconds: float
    idle_seconds: float
    unit: float
    unit_spread: float = 0.0


def idle_seconds(seconds: float, delay_seconds: float | None) -> float:
    """Return the least wall time of some work if no other program had taken a core; ``seconds`` if it is unknown.

    A thread that waited for a core delays the work by at most the time that it waited.
    """
    return max(seconds - (delay_seconds or 0.0), 0.0)


def time_ratio(
    old: Sequence[Timing], new: Sequence[Timing], *, scales: Sequence[str], alpha: float, least_margin: float = 0.0
) -> tuple[float, float]:
    """Return after divided by before, and its noise as a fraction: 0.4 for a factor of 1.4 in both directions.

    Args:
        old: The rounds before, at least one.
        new: The rounds after, at least one.
        scales: ``units`` of the machine's speed, ``seconds``, or both. The ratio is in the first one.
        alpha: One-sided error rate of the noise.
        least_margin: Noise that is assumed at least.
    """
    spread = max(timing.unit_spread for timing in (*old, *new))
    ratio, largest = 0.0, math.log1p(least_margin)
    for scale in scales:
        wall_old, wall_new = (_logs(side, scale, idle=False) for side in (old, new))
        idle_old, idle_new = (_logs(side, scale, idle=True) for side in (old, new))
        ratio = ratio or math.exp(_difference(wall_old, wall_new))
        for one, other in ((wall_old, wall_new), (wall_old, idle_new), (idle_old, wall_new)):
            distance = abs(_difference(one, other) - math.log(ratio))
            largest = max(largest, distance + log_margin(one, other, spread, alpha=alpha))
    return ratio, math.expm1(min(largest, LARGEST_LOG))


def _logs(timings: Sequence[Timing], scale: str, *, idle: bool) -> np.ndarray:
    return np.array([*_log_times(timings, scale, idle=idle)])


def _log_times(timings: Sequence[Timing], scale: str, *, idle: bool) -> Iterator[float]:
    for timing in timings:
        seconds = max(timing.idle_seconds if idle else timing.seconds, RESOLUTION_SECONDS)
        yield math.log(seconds / timing.unit if scale == "units" else seconds)


def _difference(old: np.ndarray, new: np.ndarray) -> float:
    """Return the difference of the mean logarithms, within what a ratio may be."""
    return float(np.clip(new.mean() - old.mean(), -LARGEST_LOG, LARGEST_LOG))


def log_margin(first: np.ndarray, second: np.ndarray, machine_spread: float = 0.0, *, alpha: float) -> float:
    """Return the noise of a difference of mean logarithms: the distance to its one-sided bound at 1 - ``alpha``.

    The bound is Welch's (1947, Biometrika 34). A side with one round has no spread. The noise is then that of one round
    against one round, or the spread of the other side if that is larger. The largest spread of the machine's own speed
    within a round widens it. The sides are logarithms, of shapes (n,) and (m,).
    """
    variances = [float(side.var(ddof=1)) / len(side) if len(side) > 1 else 0.0 for side in (first, second)]
    is_one_round = min(len(first), len(second)) == 1
    single = math.log1p(max(ONE_ROUND_MARGIN, MACHINE_SPREAD_FACTOR * machine_spread)) if is_one_round else 0.0
    if not (variance := sum(variances)):
        return single
    shares = [
        (of_side / variance) ** 2 / (len(side) - 1)
        for of_side, side in zip(variances, (first, second), strict=True)
        if of_side
    ]
    quantile = float(special.stdtrit(1 / sum(shares), 1 - alpha))
    return max(single, quantile * math.sqrt(variance))
