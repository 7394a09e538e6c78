"""Variance of a mean difference under a hypothesis about its true value, for score tests and score bounds.

With one seed a sentence's difference is a loss (-1), a gain (1) or 0, and the bound is Tango's (1998, "Equivalence test
and confidence interval for the difference in proportions for the paired-sample design", Statistics in Medicine 17).
With several seeds a difference is a fraction of the seeds, and the same principle applies to more values: the empirical
likelihood of Owen (1988, Biometrika 75), with -1 and 1 always among the possible values. So equal answers claim no
certainty, as a bootstrap would: on 400, 872 and 5,000 sentences they show at 99 % that at most 1.33, 0.62 and 0.11
points were lost.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_EDGE = 1e-12
_NEAR = 1e-9


class Differences:
    """The sentences' differences, after minus before, each a fraction from -1 to 1.

    Args:
        values: Integers of shape (n,).
        scale: The integer that is a difference of 1.
        sentences: How many independent sentences the n values are; n unless given.
    """

    def __init__(self, values: np.ndarray, scale: int, sentences: int | None = None) -> None:
        distinct, counts = np.unique(values, return_counts=True)
        self.integers = values
        self.values, self.weights = distinct / scale, counts / values.size
        self.sentences = sentences or values.size
        self.mean = int(values.sum()) / (scale * values.size)
        self.discordance = float(np.abs(self.values) @ self.weights)

    def variance(self, mean: float) -> float:
        """Return the variance of the mean difference if its true value is ``mean``, between -1 and 1.

        It is that of the most likely distribution with this mean: each observed value has its frequency divided by
        1 + tilt * (value - mean), and an extreme value that was not observed has what is left.
        """
        if not -1 < mean < 1:
            return 0.0
        excess = self.values - mean
        lowest, highest = -1 / (1 - mean), 1 / (1 + mean)

        def mean_excess(tilt: float) -> float:
            return float((self.weights * excess / np.maximum(1 + tilt * excess, _EDGE)).sum())

        tilt = _root(mean_excess, lowest, highest)
        weights = self.weights / np.maximum(1 + tilt * excess, _EDGE)
        if tilt in (lowest, highest):  # an extreme has a weight of its own
            extreme = (-1.0 if tilt == highest else 1.0) - mean
            left = -float(weights @ excess) / extreme
            return (float(weights @ excess**2) + left * extreme**2) / self.sentences
        return float(weights @ excess**2) / self.sentences


class IndependentDifferences(Differences):
    """The difference of two accuracies that were measured on different sentences, which do not pair.

    ``before`` and ``after`` are 0 or 1, integers of shape (S, n). There are no differences of single sentences.
    """

    def __init__(self, before: np.ndarray, after: np.ndarray) -> None:
        super().__init__(np.zeros(1, dtype=np.int64), 1)
        rates = float(before.mean()), float(after.mean())
        self.mean = rates[1] - rates[0]
        sizes = before.size, after.size
        self._variance = sum(rate * (1 - rate) / size for rate, size in zip(rates, sizes, strict=True))

    def variance(self, mean: float) -> float:
        """Return the variance of the difference of two proportions, which depends on the observed ones only."""
        return self._variance


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Return the root of a decreasing function, or the end that is nearest to it."""
    if decreasing(high) >= 0:
        return high
    if decreasing(low) <= 0:
        return low
    from scipy import optimize  # takes a quarter of a second

    return float(optimize.brentq(decreasing, low, high, xtol=1e-14))


def lower_bound(mean: float, squared_margin: Callable[[float], float]) -> float:
    """Return the smallest true mean, at least -1, whose margin reaches the observed ``mean``.

    ``squared_margin`` maps a true mean to the square of the largest difference that chance explains.
    """

    def excess(candidate: float) -> float:
        return (mean - candidate) ** 2 - squared_margin(candidate)

    low = -1 + _EDGE
    if mean <= low or excess(low) <= 0:
        return -1.0
    high = mean - _NEAR  # without flips the margin is 0 at the observed mean itself
    if excess(high) >= 0:
        return mean
    from scipy import optimize

    return float(optimize.brentq(excess, low, high, xtol=1e-12))
