"""Test whether the accuracy changed, with sentences random, and seeds too if training is.

**One margin.** Every bound and p-value comes from one equation. A true difference is compatible with the observed one
if the distance does not exceed

    sum over the seeds' parts: variance * t(level; degrees of freedom)^2   +   sentences' part * z(level)^2

so that each part of the variance has its own quantile (Banerjee 1960, Sankhya 22). A single t with Satterthwaite's
degrees of freedom is shorter, but its error rate at 1 % reaches 10, 4 and 2 % with two, three and five seeds.

**Sentences' part.** ``score_bound.Differences`` gives the variance under the hypothesis. Where training is not random
(probes, or trainings that took the same course to the last bit) it is the only part.

**Seeds' part.** Ten or more paired seeds: ``d[s, i]`` (after - before) is delta + seed effect + sentence effect +
residual, and the mean squares of this two-way table give the variance (MS_seed + MS_sentence - MS_residual) / (S n),
at least the larger of MS_seed and MS_sentence alone: Clark's quasi-F (1973, J. of Verbal Learning and Verbal Behavior
12). Fewer pairs, and unpaired seeds: the variance of each side's seed means over S, summed, with Welch's degrees of
freedom (1947, Biometrika 34) for equal numbers, else each side with its own. A paired test of three seeds has two
degrees of freedom and a t of 7. The same seeds as draws have about four, and a t of 3.7. A side of one or two seeds
borrows the variance of the other side, or of ``training_spread``, and is allowed twice its standard deviation.

**Few flips.** Where few sentences flip, normal quantiles are too optimistic. On the same sentences p is therefore at
least that of the exact randomisation test over the sentences' sums.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from pytest_sst2.compare.pairing import MINIMUM_PAIRS, Pairing
from pytest_sst2.compare.randomisation import least_p, sign_flip_p
from pytest_sst2.compare.score_bound import Differences, IndependentDifferences, lower_bound
from pytest_sst2.compare.significance import AccuracyChange, mcnemar_p
from pytest_sst2.compare.training_spread import MINIMUM_SEEDS, STATED_SPREAD, TrainingSpread, spread_of_floors
from pytest_sst2.config.options import ALPHA

_SMALLEST_P = 1e-15  # smaller values carry no more information
_SPREAD_RATIO = 2


class ErrorPart(NamedTuple):
    """One part of the variance of a delta, with its degrees of freedom."""

    variance: float
    degrees_of_freedom: float


class SeedVariance(NamedTuple):
    """The seeds' part of the variance.

    Attributes:
        parts: Empty if training is not random.
        residual: The part of the variance that the sentences' part also contains; 0 if unknown.
        source: Where it comes from, if not from the compared records.
    """

    parts: tuple[ErrorPart, ...] = ()
    residual: float = 0.0
    source: str = ""


_FIXED = SeedVariance()


def compare_pairing(pairing: Pairing, alpha: float) -> AccuracyChange:
    """Compare the accuracy of the paired records of one cell; ``alpha`` is one minus the confidence of each bound."""
    return compare_accuracy(
        *pairing.correctness(),
        paired=pairing.paired,
        same_examples=pairing.same_examples,
        is_random=pairing.is_random,
        alpha=alpha,
        spread=spread_of_floors(record.floor for record in (*pairing.after, *pairing.before)),
    )


def compare_accuracy(
    before: np.ndarray,
    after: np.ndarray,
    *,
    paired: bool,
    same_examples: bool,
    is_random: bool,
    alpha: float,
    spread: TrainingSpread = STATED_SPREAD,
) -> AccuracyChange:
    """Compare the accuracy of two runs.

    Args:
        before: Whether each example was right, bool, of shape (S, n).
        after: The same for the later run, of shape (S2, n).
        paired: Whether row s of both arrays is the same seed, on the same examples. S and S2 are then equal.
        same_examples: Whether column i is the same example in all rows.
        is_random: Whether another training would give another classifier.
        alpha: One minus the confidence of each bound.
        spread: The spread between trainings, used if neither side has three seeds.

    Raises:
        ValueError: The arrays do not have these shapes.
    """
    (s_before, n), (s_after, n_after) = before.shape, after.shape
    if n != n_after or min(s_before, s_after, n) < 1 or (paired and s_before != s_after):
        wanted = "(seeds, examples), at least (1, 1), with equal numbers of examples" + " and seeds" * paired
        raise ValueError(f"before and after must have shapes {wanted}, not {before.shape} and {after.shape}.")
    same_examples = same_examples or (paired and s_before == 1)
    if is_random:
        seeds = seed_variance(before, after, paired=paired, same_examples=same_examples, spread=spread)
    else:
        seeds = _FIXED
    differences = sentence_differences(before, after, paired=paired, same_examples=same_examples, is_random=is_random)
    delta, values = differences.mean, differences.integers
    p = _p_value(abs(delta), seeds, differences.variance(0.0))
    flips = _flip_p_values(differences, before, after, same_examples=same_examples, is_random=is_random)
    return AccuracyChange(
        before=float(before.mean()),
        after=float(after.mean()),
        delta=delta,
        at_worst=lower_bound(delta, lambda true: _squared_margin(alpha, seeds, differences.variance(true))),
        at_best=-lower_bound(-delta, lambda true: _squared_margin(alpha, seeds, differences.variance(-true))),
        p_worse=max(p if delta < 0 else 1 - p, flips[0]),
        p_better=max(p if delta > 0 else 1 - p, flips[1]),
        losses=int((values < 0).sum()),
        gains=int((values > 0).sum()),
        examples=n,
        seeds=min(s_before, s_after),
        test=_test_name(before, after, paired=paired, same_examples=same_examples, is_random=is_random),
        discordance=differences.discordance,
        least_p=least_p(values) if same_examples else 0.0,
        variance_source=seeds.source,
    )


def _test_name(before: np.ndarray, after: np.ndarray, *, paired: bool, same_examples: bool, is_random: bool) -> str:
    if not is_random:
        return "exact McNemar" if len(before) == 1 else "randomisation over sentences"
    random = "seeds and sentences" if same_examples else "seeds"
    return f"{random} random, {'paired' if paired and len(before) >= MINIMUM_PAIRS else 'unpaired'} seeds"


def sentence_differences(
    before: np.ndarray, after: np.ndarray, *, paired: bool, same_examples: bool, is_random: bool
) -> Differences:
    """Return the differences of each sentence's fraction of right seeds, or of each seed's own sentences."""
    old, new = before.astype(np.int64), after.astype(np.int64)
    if same_examples:
        return Differences(len(old) * new.sum(axis=0) - len(new) * old.sum(axis=0), len(old) * len(new))
    if paired:
        # Seeds may share some of their own sentences, so only as many as one seed has are sure to be independent.
        return Differences((new - old).ravel(), 1, None if is_random else old.shape[1])
    return IndependentDifferences(old, new)


def seed_variance(
    before: np.ndarray,
    after: np.ndarray,
    *,
    paired: bool,
    same_examples: bool,
    spread: TrainingSpread = STATED_SPREAD,
) -> SeedVariance:
    """Return the seeds' part of the variance of the mean difference."""
    sizes = len(before), len(after)
    if min(sizes) < MINIMUM_SEEDS:
        return _borrowed_variance(before, after, same_examples=same_examples, spread=spread)
    if paired and sizes[0] >= MINIMUM_PAIRS:
        tables = [after.astype(np.int64) - before]
    else:
        tables = [before.astype(np.int64), after.astype(np.int64)]
    seed_variances, residuals = zip(*map(_mean_squares, tables), strict=True)
    parts = tuple(ErrorPart(variance, len(table) - 1) for variance, table in zip(seed_variances, tables, strict=True))
    if len(parts) == 2 and sizes[0] == sizes[1]:
        parts = (_welch(*parts),)
    return SeedVariance(parts, sum(residuals) if same_examples else math.inf)


def _borrowed_variance(
    before: np.ndarray, after: np.ndarray, *, same_examples: bool, spread: TrainingSpread
) -> SeedVariance:
    """Return the seeds' part where a side has too few seeds: from the other side, or from a given spread.

    One or two trainings do not show their own spread, so it is taken to be up to ``_SPREAD_RATIO`` times the known one.
    The stated figure is an upper one, so it replaces a known spread with which the margin would be wider.
    """
    few, known = sorted((before, after), key=len)
    both = 1 / len(before) + 1 / len(after)
    stated = SeedVariance((ErrorPart(both * STATED_SPREAD.sd**2, math.inf),), 0.0, STATED_SPREAD.source)
    if len(known) >= MINIMUM_SEEDS:
        variance, residual = (len(known) * part for part in _mean_squares(known.astype(np.int64)))
        fraction = 1 / len(known) + _SPREAD_RATIO**2 / len(few)
        source = f"up to {_SPREAD_RATIO} times the spread of the {len(known)} seeds of one side"
        of_known = SeedVariance((ErrorPart(fraction * variance, len(known) - 1),), both * residual, source)
    else:
        fraction = 1 / len(before) + _SPREAD_RATIO**2 / len(after)
        part = ErrorPart(fraction * spread.sd**2, spread.degrees_of_freedom)
        of_known = SeedVariance((part,), 0.0, spread.source)
    narrower = min(stated, of_known, key=lambda seeds: _squared_margin(ALPHA, seeds, 0.0))
    return narrower if same_examples else narrower._replace(residual=math.inf)


def _squared_margin(level: float, seeds: SeedVariance, of_sentences: float) -> float:
    """Return the square of the distance that a one-sided ``level`` allows."""
    of_seeds = sum(part.variance for part in seeds.parts)
    added = max(of_sentences - seeds.residual, of_sentences - of_seeds, 0.0)
    squared = sum(variance * quantile(df, level) ** 2 for variance, df in seeds.parts)
    return squared + added * float(special.ndtri(level)) ** 2


def quantile(degrees_of_freedom: float, level: float) -> float:
    """Return the quantile of Student's t; of the normal distribution for infinite degrees of freedom."""
    if math.isinf(degrees_of_freedom):
        return float(special.ndtri(level))
    return float(special.stdtrit(degrees_of_freedom, level))


def _p_value(distance: float, seeds: SeedVariance, of_sentences: float) -> float:
    """Return the one-sided level, at most one half, at which the margin is as wide as a distance."""
    if not distance:
        return 0.5
    if _squared_margin(_SMALLEST_P, seeds, of_sentences) <= distance**2:
        return _SMALLEST_P
    from scipy import optimize  # takes a quarter of a second

    def excess(logarithm: float) -> float:
        return _squared_margin(math.exp(logarithm), seeds, of_sentences) - distance**2

    return math.exp(optimize.brentq(excess, math.log(_SMALLEST_P), math.log(0.5)))


def _flip_p_values(
    differences: Differences, before: np.ndarray, after: np.ndarray, *, same_examples: bool, is_random: bool
) -> tuple[float, float]:
    """Return exact p-values over sentences, against "did not fall" and "did not rise"; 0.0 where there is none."""
    if same_examples:
        return sign_flip_p(differences.integers), sign_flip_p(-differences.integers)
    if is_random:
        return 0.0, 0.0
    losses, gains = (before & ~after).sum(axis=1), (~before & after).sum(axis=1)
    # Twice the mean of p-values is a p-value for any dependence (Rueschendorf 1982, J. of Applied Probability 19).
    worse, better = (
        2 * float(np.mean([mcnemar_p(int(lost), int(won)) for lost, won in zip(*pair, strict=True)]))
        for pair in ((losses, gains), (gains, losses))
    )
    return min(1.0, worse), min(1.0, better)


def _mean_squares(table: np.ndarray) -> tuple[float, float]:
    """Return the mean squares of seeds and residuals of a table of integers, each over the size of the table."""
    (s, n), size = table.shape, table.size
    total, seed, example = (_squares(sums) for sums in (table.ravel(), table.sum(axis=1), table.sum(axis=0)))
    residual = (total - seed - example) / ((s - 1) * (n - 1) * size**2) if n > 1 else 0.0
    return seed / ((s - 1) * size**2), residual


def _squares(values: np.ndarray) -> int:
    """Return the sum of squared deviations from the mean, times the number of values: an integer."""
    return values.size * int((values**2).sum()) - int(values.sum()) ** 2


def _welch(one: ErrorPart, other: ErrorPart) -> ErrorPart:
    """Return the sum of two parts with Welch's degrees of freedom."""
    total = one.variance + other.variance
    squares = one.variance**2 / one.degrees_of_freedom + other.variance**2 / other.degrees_of_freedom
    return ErrorPart(total, total**2 / squares if squares else one.degrees_of_freedom)
