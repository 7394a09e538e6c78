"""Test whether the accuracy changed over several seeds, with both seeds and examples random."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from pytest_sst2.compare.significance import (
    AccuracyChange,
    ErrorPart,
    bool_shape,
    compare_one_seed,
    mcnemar_p,
)

_SMALLEST_P = 1e-30  # smaller values carry no more information


def compare_accuracy(
    before: np.ndarray, after: np.ndarray, *, paired: bool, same_examples: bool, alpha: float
) -> AccuracyChange:
    """Compare two runs by the test for their number of seeds. The arguments are as for ``compare_seeds``."""
    if len(before) == len(after) == 1:
        return compare_one_seed(before[0], after[0], alpha=alpha)
    return compare_seeds(before, after, paired=paired, same_examples=same_examples, alpha=alpha)


def compare_seeds(
    before: np.ndarray, after: np.ndarray, *, paired: bool, same_examples: bool, alpha: float
) -> AccuracyChange:
    """Compare two runs of several seeds each, with both seeds and examples random.

    **Variance of the mean difference.**

    *Paired seeds, same examples*: ``d[s, i]`` (after - before) is delta + seed effect + example effect + residual. The
    mean squares of this two-way table give the variance (MS_seed + MS_example - MS_residual) / (S n), because MS_seed
    and MS_example both contain the residual. It is at least the larger of MS_seed and MS_example alone. This is the
    quasi-F of Clark 1973 ("The language-as-fixed-effect fallacy", J. of Verbal Learning and Verbal Behavior 12) for a
    mean, with seeds for subjects and examples for items. Owen 2007 ("The pigeonhole bootstrap", Annals of Applied
    Statistics 1) and Sellam et al. 2022 ("The MultiBERTs", ICLR) resample both sources, which understates the variance
    of few seeds.

    *Unpaired seeds, same examples*: the seeds' part is the variance of each run's seed means over S, summed. The
    examples' part is the variance of each example's difference in its fraction of seeds that are right, over n. Both
    parts contain each run's MS_residual / (S n), so it is subtracted once. The variance is at least the larger part.

    *Different examples for each seed*: the seeds' part alone, which contains the examples' part. The variance is at
    least the variance within seeds over S n, because two seeds can agree by chance.

    **Test.** The seeds' part has S - 1 degrees of freedom. For unpaired runs with equal numbers of seeds they are
    Welch's (1947, Biometrika 34); with unequal numbers each run's part keeps its own. The examples' part has n - 1. The
    interval is delta plus or minus the root of the summed variance x squared t quantile of each part. p is the level at
    which the interval touches 0 (Banerjee 1960, Sankhya 22). For normal effects the error rate is at most the level,
    for any ratio of the parts. One t with Satterthwaite's degrees of freedom gives shorter intervals. But at 1 % its
    error rate reaches 10, 4 and 2 % with two, three and five seeds, if their spread happens to look small. The price is
    power: t at 1 % is 64, 9.9 and 4.6 for that many pairs. Use five or more. (Welch's own error rate at 1 % is at most
    2 %, if one run's seeds spread far more.)

    With few discordant examples t is too optimistic. On the same examples p is therefore at least that of an exact sign
    test over the examples' mean differences, or 1 if the sign test's direction is not delta's. Equal runs have p 1 and
    the interval (0, 0).

    Args:
        before: Whether each example was right, bool, of shape (S, n), both at least 2.
        after: The same for the later run, of shape (S2, n), S2 at least 2.
        paired: Whether row s of both arrays is the same seed, on the same examples. S and S2 are then equal.
        same_examples: Whether column i is the same example in all rows.
        alpha: One minus the confidence of each bound.

    Raises:
        ValueError: The arrays are not bool, or do not have these shapes.
    """
    (s_before, n), (s_after, n_after) = bool_shape(before, 2), bool_shape(after, 2)
    if n != n_after or min(s_before, s_after, n) < 2 or (paired and s_before != s_after):
        wanted = "(seeds, examples), at least (2, 2), with equal numbers of examples" + " and seeds" * paired
        raise ValueError(f"before and after must have shapes {wanted}, not {before.shape} and {after.shape}.")
    # Integers as long as possible, so that seeds that agree have a variance of exactly 0.
    tables = [after.astype(np.int64) - before] if paired else [before.astype(np.int64), after.astype(np.int64)]
    seed_variances, residual_variances, within_seed_variances = zip(*map(_mean_squares, tables), strict=True)
    seed_parts = [ErrorPart(variance, len(table) - 1) for variance, table in zip(seed_variances, tables, strict=True)]
    if not paired and s_before == s_after:
        seed_parts = [_welch(*seed_parts)]
    # For each example: the difference of its fractions of right seeds, times both numbers of seeds.
    differences = s_before * after.sum(axis=0, dtype=np.int64) - s_after * before.sum(axis=0, dtype=np.int64)
    delta = int(differences.sum()) / (s_before * s_after * n)
    if same_examples:
        losses, gains = int((differences < 0).sum()), int((differences > 0).sum())
        example_variance = _squares(differences) / (n * n * (n - 1) * (s_before * s_after) ** 2)
        counted_twice = sum(residual_variances)
        sign_p = mcnemar_p(losses, gains), mcnemar_p(gains, losses)
    else:
        losses, gains = (int((tables[0] < 0).sum()), int((tables[0] > 0).sum())) if paired else (0, 0)
        example_variance, counted_twice, sign_p = sum(within_seed_variances), sum(within_seed_variances), (0.0, 0.0)
    added = max(example_variance - counted_twice, example_variance - sum(seed_variances), 0.0)
    error_parts = (*seed_parts, ErrorPart(added, n - 1))
    half_width = margin(error_parts, alpha)
    p = _p_value(abs(delta), error_parts)
    p_worse, p_better = (p, 1 - p) if delta < 0 else (1 - p, p)
    source = "seeds and examples both random" if same_examples else "t over seeds"
    return AccuracyChange(
        before=float(before.mean()),
        after=float(after.mean()),
        delta=delta,
        at_worst=max(-1.0, delta - half_width),
        at_best=min(1.0, delta + half_width),
        p_worse=max(p_worse, sign_p[0]),
        p_better=max(p_better, sign_p[1]),
        losses=losses,
        gains=gains,
        examples=n,
        seeds=min(s_before, s_after),
        test=f"{source} ({'paired' if paired else 'unpaired'} seeds)",
    )


def margin(error_parts: Sequence[ErrorPart], level: float) -> float:
    """Return the half-width of an interval: each part of the variance with its own t quantile.

    ``level`` is the probability outside the interval on one side.
    """
    return math.sqrt(sum(v * float(special.stdtrit(df, level)) ** 2 for v, df in error_parts))


def _mean_squares(table: np.ndarray) -> tuple[float, float, float]:
    """Return the mean squares of seeds, residuals, and examples within a seed, each over the size of the table."""
    (s, n), size = table.shape, table.size
    total, seed, example = (_squares(sums) for sums in (table.ravel(), table.sum(axis=1), table.sum(axis=0)))
    residual = (total - seed - example) / ((s - 1) * (n - 1) * size**2)
    return seed / ((s - 1) * size**2), residual, (total - seed) / (s * (n - 1) * size**2)


def _squares(values: np.ndarray) -> int:
    """Return the sum of squared deviations from the mean, times the number of values: an integer."""
    return values.size * int((values**2).sum()) - int(values.sum()) ** 2


def _welch(one: ErrorPart, other: ErrorPart) -> ErrorPart:
    """Return the sum of two parts with Welch's degrees of freedom."""
    total = one.variance + other.variance
    squares = one.variance**2 / one.degrees_of_freedom + other.variance**2 / other.degrees_of_freedom
    return ErrorPart(total, total**2 / squares if squares else one.degrees_of_freedom)


def _p_value(distance: float, error_parts: Sequence[ErrorPart]) -> float:
    """Return the one-sided level, at most one half, at which a margin is as wide as a distance."""
    if not distance:
        return 0.5
    if margin(error_parts, _SMALLEST_P) <= distance:
        return _SMALLEST_P
    from scipy import optimize  # takes a quarter of a second, which one seed does not need

    return math.exp(
        optimize.brentq(lambda x: margin(error_parts, math.exp(x)) - distance, math.log(_SMALLEST_P), math.log(0.5))
    )
