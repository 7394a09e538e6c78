"""Has the accuracy changed? Exact tests, intervals and the smallest drop that would have been noticed.

Accuracies and deltas are shares (0 to 1); delta is after minus before, so that a drop is negative. A *loss* is an
example right before and wrong after, a *gain* the reverse. One seed answers for two classifiers, and only the examples
are random (``compare_one_seed``). Several answer for the way of training, and are random too (``compare_seeds``): where
training again alone moves the accuracy by a point or two, one seed regresses in 19 to 33 % of harmless upgrades.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import special

from pytest_sst2.results.record import Interval

CONFIDENCE = 0.95
BOOTSTRAP_SAMPLES = 10_000

Direction = Literal["improved", "unchanged", "regressed"]
_ROUNDING = 1e-9  # 0.795 - 0.8 is -0.005000000000000004
_LEAST_P = 1e-30  # a smaller one would say no more


class ErrorPart(NamedTuple):
    """A part of the variance of a delta, and the degrees of freedom it was estimated with."""

    variance: float
    degrees_of_freedom: float


@dataclass(frozen=True)
class AccuracyChange:
    """A comparison of two runs of one cell; with several seeds, of means over the seeds.

    ``interval`` is the 95 % interval of ``delta``, ``p_value`` two-sided and not adjusted for the number of cells.
    With several seeds on the same examples, ``losses`` are the examples that fewer seeds got right after than before;
    on other examples for each seed, the sum over paired seeds, or 0 for unpaired ones. ``gains`` are the reverse.
    ``examples`` are those of one seed, ``seeds`` the pairs of runs; of unpaired runs, the fewer. ``test`` is
    for a reader. The rest is of several seeds, None or empty for one: the ``standard_error`` of delta, the
    ``degrees_of_freedom`` of its seeds' part, and the ``error_parts`` it is made of, what the examples add last.
    """

    before: float
    after: float
    delta: float
    interval: Interval
    p_value: float
    losses: int
    gains: int
    examples: int
    seeds: int
    test: str
    standard_error: float | None = None
    degrees_of_freedom: float | None = None
    error_parts: tuple[ErrorPart, ...] = ()


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval for a share (Wilson 1927, Journal of the American Statistical Association 22).

    Raises:
        ValueError: ``total`` is not positive or ``correct`` is not between 0 and ``total``.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(round(float(interval.low), 6), round(float(interval.high), 6))


def mcnemar_p(losses: int, gains: int) -> float:
    """Return the two-sided p-value of the exact McNemar test (McNemar 1947, Psychometrika 12); 1.0 for 0 and 0.

    It is twice the binomial tail: were nothing changed, a discordant example would as likely be a gain as a loss.

    Raises:
        ValueError: A count is negative.
    """
    if losses < 0 or gains < 0:
        raise ValueError(f"losses and gains are counts, not {losses} and {gains}.")
    return min(1.0, 2 * float(special.bdtr(min(losses, gains), losses + gains, 0.5)))


def paired_bootstrap_interval(
    losses: int,
    gains: int,
    total: int,
    *,
    seed: int = 0,
    samples: int = BOOTSTRAP_SAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Return the percentile interval of delta from resampling the examples with replacement.

    (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13.) Drawing ``total`` values of -1, 0 and 1
    is one multinomial draw of three counts. The same ``seed``, the same interval; (0, 0) where nothing is discordant.

    Raises:
        ValueError: The counts do not fit into ``total``, or ``total`` is not positive.
    """
    unchanged = total - losses - gains
    if total < 1 or min(losses, gains, unchanged) < 0:
        raise ValueError(f"{losses} losses and {gains} gains do not fit into {total} examples.")
    drawn = np.random.default_rng(seed).multinomial(total, np.array([losses, gains, unchanged]) / total, size=samples)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / total, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))


def smallest_detectable_drop(gains: int, total: int, alpha: float, tolerance: float) -> float | None:
    """Return the smallest drop, a positive share, that one seed would have shown with as many gains as were seen.

    It is that of the fewest losses called regressed; None where even the loss of all other examples would not be.

    Raises:
        ValueError: The gains do not fit into ``total``, or ``total`` is not positive.
    """
    if not 0 <= gains <= total or total < 1:
        raise ValueError(f"{gains} gains do not fit into {total} examples.")

    def regressed(losses: int) -> bool:
        p, delta = mcnemar_p(losses, gains), (gains - losses) / total
        return direction(delta, p, alpha=alpha, tolerance=tolerance) == "regressed"

    # From gains + 1 upwards the p-value falls and the drop grows.
    losses = bisect_left(range(total - gains + 1), True, lo=gains, key=regressed)
    return (losses - gains) / total if losses <= total - gains else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the order given (Holm 1979, Scandinavian J. of Statistics 6).

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than one before it, nor
    larger than 1. The chance of any false alarm is then at most alpha, however the tests depend on one another.

    Raises:
        ValueError: A value is not between 0 and 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values lie between 0 and 1: {list(p_values)}.")
    order = np.argsort(p)
    adjusted = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return [min(1.0, float(each)) for each in adjusted[np.argsort(order)]]


def direction(change_delta: float, adjusted_p: float, *, alpha: float, tolerance: float) -> Direction:
    """Return what to call a change; for one it takes p of at most alpha and a delta of more than just the tolerance."""
    if adjusted_p > alpha or abs(change_delta) <= tolerance + _ROUNDING:
        return "unchanged"
    return "regressed" if change_delta < 0 else "improved"


def detectable_drop(change: AccuracyChange, alpha: float, tolerance: float) -> float | None:
    """Return the smallest drop, a positive share, that this comparison would have called a regression.

    One seed: ``smallest_detectable_drop``. Several: the largest of the tolerance, the margin at ``alpha`` by the
    standard error as it was found (t quantile x standard error, part by part) and what one seed without gains would
    need, which is what the sign test asks for if all seeds agree. None where that exceeds the accuracy before.
    """
    if not change.error_parts:
        return smallest_detectable_drop(change.gains, change.examples, alpha, tolerance)
    least = smallest_detectable_drop(0, change.examples, alpha, tolerance)
    drop = max(least or math.inf, _margin(change.error_parts, alpha))
    return drop if drop <= change.before else None


def compare_one_seed(before: np.ndarray, after: np.ndarray, *, seed: int = 0) -> AccuracyChange:
    """Compare two runs on the same examples by the exact McNemar test and the paired bootstrap.

    Args:
        before: Whether each example was right, bool, of shape (n,).
        after: Likewise, the same examples in the same order.
        seed: Of the bootstrap.

    Raises:
        ValueError: The arrays are not bool, of different shapes, or empty.
    """
    if _shape(before, 1) != _shape(after, 1) or not before.size:
        raise ValueError(f"before and after are of shapes {before.shape} and {after.shape}, not of one (n,), n >= 1.")
    losses, gains, total = int((before & ~after).sum()), int((~before & after).sum()), before.size
    return AccuracyChange(
        before=float(before.mean()),
        after=float(after.mean()),
        delta=(gains - losses) / total,
        interval=paired_bootstrap_interval(losses, gains, total, seed=seed),
        p_value=mcnemar_p(losses, gains),
        losses=losses,
        gains=gains,
        examples=total,
        seeds=1,
        test="exact McNemar",
    )


def compare_seeds(before: np.ndarray, after: np.ndarray, *, paired: bool, same_examples: bool) -> AccuracyChange:
    """Compare two runs of several seeds each, seeds and examples both taken as random.

    **Variance.** *Paired, same examples*: ``d[s, i]``, after - before, is delta + seed effect + example effect +
    residual. By the mean squares of this two-way table the variance of the mean is (MS_seed + MS_example -
    MS_residual) / (S n), since the first two both hold the residual; at least the larger of these two alone. It is the
    quasi-F of Clark 1973 ("The language-as-fixed-effect fallacy", J. of Verbal Learning and Verbal Behavior 12) for a
    mean, seeds for subjects and examples for items. Owen 2007 ("The pigeonhole bootstrap", Annals of Applied Statistics
    1) and Sellam et al. 2022 ("The MultiBERTs", ICLR) resample both sources, which understates few seeds. *Unpaired,
    same examples*: the seeds' part is the variance of each run's seed means over S, summed; the examples' is that of
    each example's difference in its share of seeds, over n. Each run's MS_residual / (S n) is in both and taken off
    once; the floor is the larger part. *Other examples for each seed*: the seeds' part alone, which holds that of the
    examples; the floor is the variance within seeds over S n, since two seeds can agree by chance.

    **Test.** The seeds' part has S - 1 degrees of freedom; unpaired, those of Welch 1947 (Biometrika 34) for equal
    numbers of seeds, else each run's part its own. What the examples add has n - 1. The interval is delta plus or minus
    the root of the parts' sum of variance x squared t quantile, p the level at which it touches 0 (Banerjee 1960,
    Sankhya 22): for normal effects the error is at most the level, however the parts weigh. One t with Satterthwaite's
    degrees of freedom is shorter, but at 1 % it errs in up to 10, 4 and 2 % with two, three and five seeds, when their
    spread happens to look small. The price: t at 1 % is 64, 9.9 and 4.6 for as many pairs. Use five or more. (Welch's
    own error at 1 % is at most 2 %, where one run's seeds spread far more.) With few discordant examples t trusts too
    much, so on the same examples p is at least that of an exact sign test over the examples' mean differences, which is
    1 where its direction is not delta's. Equal runs: p 1, interval (0, 0).

    Args:
        before: Whether each example was right, bool, of shape (S, n), both at least 2.
        after: Likewise, of shape (S2, n), S2 at least 2.
        paired: Whether row s of both is the same seed, on the same examples; then S and S2 are equal.
        same_examples: Whether column i is the same example in all rows.

    Raises:
        ValueError: The arrays are not bool, or not of such shapes.
    """
    (s_before, n), (s_after, n_after) = _shape(before, 2), _shape(after, 2)
    if n != n_after or min(s_before, s_after, n) < 2 or (paired and s_before != s_after):
        wanted = "(seeds, examples), at least (2, 2), as many examples" + " and seeds" * paired
        raise ValueError(f"before and after are of shapes {before.shape} and {after.shape}; wanted: {wanted}.")
    # Integers as long as possible, so that seeds that agree have a variance of exactly 0.
    tables = [after.astype(np.int64) - before] if paired else [before.astype(np.int64), after.astype(np.int64)]
    of_seeds, of_residuals, within_seeds = zip(*map(_mean_squares, tables), strict=True)
    seeds = [ErrorPart(variance, len(table) - 1) for variance, table in zip(of_seeds, tables, strict=True)]
    if not paired and s_before == s_after:
        seeds = [_welch(*seeds)]
    # Of each example: the difference of its shares of seeds, times both numbers of seeds.
    differences = s_before * after.sum(axis=0, dtype=np.int64) - s_after * before.sum(axis=0, dtype=np.int64)
    delta = int(differences.sum()) / (s_before * s_after * n)
    if same_examples:
        losses, gains = int((differences < 0).sum()), int((differences > 0).sum())
        example_variance = _squares(differences) / (n * n * (n - 1) * (s_before * s_after) ** 2)
        shared = sum(of_residuals)
        sign_p = mcnemar_p(losses, gains) if delta * (gains - losses) > 0 else 1.0
    else:
        losses, gains = (int((tables[0] < 0).sum()), int((tables[0] > 0).sum())) if paired else (0, 0)
        example_variance, shared, sign_p = sum(within_seeds), sum(within_seeds), 0.0
    added = max(example_variance - shared, example_variance - sum(of_seeds), 0.0)
    error = (*seeds, ErrorPart(added, n - 1))
    margin = _margin(error, 1 - CONFIDENCE)
    source = "seeds and examples both random" if same_examples else "t over seeds"
    return AccuracyChange(
        before=float(before.mean()),
        after=float(after.mean()),
        delta=delta,
        interval=Interval(max(-1.0, delta - margin), min(1.0, delta + margin)),
        p_value=max(_p_value(delta, error), sign_p),
        losses=losses,
        gains=gains,
        examples=n,
        seeds=min(s_before, s_after),
        test=f"{source} ({'paired' if paired else 'unpaired'} seeds)",
        standard_error=math.sqrt(sum(of_seeds) + added),
        degrees_of_freedom=min(each.degrees_of_freedom for each in seeds),
        error_parts=error,
    )


def _mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Return the mean squares of seeds, of residuals, and of examples within a seed, all over the table's size."""
    (s, n), size = table.shape, table.size
    total, seed, example = (_squares(sums) for sums in (table.ravel(), table.sum(axis=1), table.sum(axis=0)))
    residual = (total - seed - example) / ((s - 1) * (n - 1) * size**2)
    return seed / ((s - 1) * size**2), residual, (total - seed) / (s * (n - 1) * size**2)


def _squares(values: np.ndarray) -> int:
    """Return the squared deviations from the mean, summed, times the number of values: an integer."""
    return values.size * int((values**2).sum()) - int(values.sum()) ** 2


def _welch(one: ErrorPart, other: ErrorPart) -> ErrorPart:
    total = one.variance + other.variance
    squares = one.variance**2 / one.degrees_of_freedom + other.variance**2 / other.degrees_of_freedom
    return ErrorPart(total, total**2 / squares if squares else one.degrees_of_freedom)


def _margin(error: Sequence[ErrorPart], level: float) -> float:
    return math.sqrt(sum(v * float(special.stdtrit(df, level / 2)) ** 2 for v, df in error))


def _p_value(delta: float, error: Sequence[ErrorPart]) -> float:
    if not delta:
        return 1.0
    if _margin(error, _LEAST_P) <= abs(delta):
        return _LEAST_P
    from scipy import optimize  # a quarter of a second that one seed does not need

    return math.exp(optimize.brentq(lambda x: _margin(error, math.exp(x)) - abs(delta), math.log(_LEAST_P), 0.0))


def _shape(right: np.ndarray, dimensions: int) -> tuple[int, ...]:
    if right.ndim != dimensions or right.dtype != np.bool_:
        raise ValueError(f"wanted: {dimensions}-dimensional arrays of bool, not {right.dtype} of shape {right.shape}.")
    return right.shape
