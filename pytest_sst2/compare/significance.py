"""Test whether the accuracy of one seed changed, and correct for the number of cells.

Accuracies and deltas are fractions (0 to 1). Delta is after minus before, so a drop is negative. A *loss* is an example
that was right before and is wrong after; a *gain* is the reverse. One seed compares two classifiers, so only the
examples are random. ``several_seeds`` compares two ways of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import special

from pytest_sst2.compare.score_bound import lower_bound
from pytest_sst2.results.record import Interval


class ErrorPart(NamedTuple):
    """One part of the variance of a delta, with its degrees of freedom."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True)
class AccuracyChange:
    """The accuracy of one cell before and after; with several seeds, the means over the seeds.

    Attributes:
        at_worst: One-sided lower bound of the true ``delta``, at a confidence of 1 - alpha.
        at_best: One-sided upper bound of the true ``delta``, at a confidence of 1 - alpha.
        p_worse: One-sided p-value against "the accuracy did not fall", not adjusted for the number of cells.
        p_better: One-sided p-value against "the accuracy did not rise", not adjusted for the number of cells.
        losses: Examples that fewer seeds got right after than before. If each seed has its own examples: the sum over
            paired seeds, 0 for unpaired ones.
        gains: The reverse of ``losses``.
        examples: Examples per seed.
        seeds: Pairs of runs; for unpaired runs, the smaller number of seeds.
        test: The name of the test, for a reader.
        variance_source: Where the variance between trainings comes from, if not from these records; else empty.
    """

    before: float
    after: float
    delta: float
    at_worst: float
    at_best: float
    p_worse: float
    p_better: float
    losses: int
    gains: int
    examples: int
    seeds: int
    test: str
    variance_source: str = ""


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927, J. of the American Statistical Association 22).

    Raises:
        ValueError: ``total`` is not positive or ``correct`` is not between 0 and ``total``.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(round(float(interval.low), 6), round(float(interval.high), 6))


def mcnemar_p(losses: int, gains: int) -> float:
    """Return the one-sided p-value of the exact McNemar test against "no more losses than gains"; 1.0 for 0 and 0.

    It is a binomial tail: if nothing changed, a discordant example is as likely a gain as a loss (McNemar 1947,
    Psychometrika 12).

    Raises:
        ValueError: A count is negative.
    """
    if losses < 0 or gains < 0:
        raise ValueError(f"losses and gains must be counts of at least 0, not {losses} and {gains}.")
    return float(special.bdtr(gains, losses + gains, 0.5))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order (Holm 1979, Scandinavian J. of Statistics 6).

    The smallest of m is multiplied by m, the next by m - 1, and so on. No value becomes smaller than the one before it
    or larger than 1. The probability of any false alarm is then at most alpha, for any dependence between the tests.

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must be between 0 and 1: {list(p_values)}.")
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return [min(1.0, float(value)) for value in adjusted[np.argsort(order)]]


def compare_one_seed(before: np.ndarray, after: np.ndarray, *, alpha: float) -> AccuracyChange:
    """Compare two classifiers on the same examples by the exact McNemar test and Tango's score bounds.

    Args:
        before: Whether each example was right, bool, of shape (n,).
        after: The same for the later run, with the examples in the same order.
        alpha: One minus the confidence of each bound.

    Raises:
        ValueError: The arrays are not bool, differ in shape, or are empty.
    """
    if bool_shape(before, 1) != bool_shape(after, 1) or not before.size:
        raise ValueError(f"before and after must have one shape (n,), n >= 1, not {before.shape} and {after.shape}.")
    losses, gains, total = int((before & ~after).sum()), int((~before & after).sum()), before.size
    return AccuracyChange(
        before=float(before.mean()),
        after=float(after.mean()),
        delta=(gains - losses) / total,
        at_worst=lower_bound(losses, gains, total, alpha),
        at_best=-lower_bound(gains, losses, total, alpha),
        p_worse=mcnemar_p(losses, gains),
        p_better=mcnemar_p(gains, losses),
        losses=losses,
        gains=gains,
        examples=total,
        seeds=1,
        test="exact McNemar",
    )


def bool_shape(array: np.ndarray, dimensions: int) -> tuple[int, ...]:
    """Return the shape of a bool array.

    Raises:
        ValueError: The array is not bool or has another number of dimensions.
    """
    if array.ndim != dimensions or array.dtype != np.bool_:
        raise ValueError(f"arrays must be bool with {dimensions} dimensions, not {array.dtype} of shape {array.shape}.")
    return array.shape
