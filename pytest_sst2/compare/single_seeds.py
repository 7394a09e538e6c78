"""Find single seeds whose training failed, which the mean over the seeds hides.

A collapsed seed inflates the variance between seeds, so the mean decides nothing. Three rules find it:

- **Outlier.** The lowest k seeds of a side (fewer than half of them) fail if each is below the mean of the others by
  more than t(1 - alpha / S) times the others' standard deviation, and by more than 5 points. That standard deviation is
  pooled with the one of the other side's seeds. The t quantile with all of these degrees of freedom keeps the rate of
  false alarms at alpha for any spread.
- **One class.** All its predictions are the same, those of most other seeds are not, and it is 5 points lower.
- **Diverged.** Its training loss is not a finite number, and it is 5 points lower.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.results.record import Record

LEAST_DROP = 0.05
_COLLAPSE = 0.2  # a drop that is called a collapse


@dataclass(frozen=True)
class FailedSeed:
    """A seed that is more than 5 points below the others, and a sentence about it.

    ``before`` is None if the seed was not measured before.
    """

    seed: int
    before: float | None
    after: float
    sentence: str


def failed_seeds(pairing: Pairing, alpha: float) -> tuple[tuple[FailedSeed, ...], tuple[str, ...]]:
    """Return the later seeds that failed, and a note for each earlier seed that did."""
    old = {record.seed: record for record in pairing.before}
    bad_before = _low_seeds(pairing.before, pairing.after, alpha)
    bad_after = _low_seeds(pairing.after, pairing.before, alpha)
    failed = tuple(
        FailedSeed(
            record.seed,
            old[record.seed].accuracy if record.seed in old else None,
            record.accuracy,
            _sentence(record, pairing.after, bad_after),
        )
        for record in bad_after
        if record.seed not in {other.seed for other in bad_before}
    )
    notes = tuple(f"of the earlier results, {_sentence(record, pairing.before, bad_before)}" for record in bad_before)
    return failed, notes


def low_seed_sentences(side: Sequence[Record], other: Sequence[Record], alpha: float) -> list[str]:
    """Return a sentence for each seed of a side whose training failed; ``other`` is the other side."""
    low = _low_seeds(side, other, alpha)
    return [_sentence(record, side, low) for record in low]


def _low_seeds(side: Sequence[Record], other: Sequence[Record], alpha: float) -> list[Record]:
    """Return the records of a side whose training failed."""
    accuracies, others = ([record.accuracy for record in records] for records in (side, other))
    low = {side[index].seed for index in low_outliers(accuracies, others, alpha)}
    broken = {record.seed for record in side if _has_one_class(record) or _diverged(record)}
    whole = [record.accuracy for record in side if record.seed not in broken]
    if 2 * len(whole) > len(side):
        low |= {record.seed for record in side if record.seed in broken and _is_far_below(record.accuracy, whole)}
    return [record for record in side if record.seed in low]


def low_outliers(side: Sequence[float], other: Sequence[float], alpha: float) -> list[int]:
    """Return the indices of the accuracies of a side that are outliers below; ``other`` is the other side."""
    if len(side) < 2:
        return []
    order = [int(index) for index in np.argsort(side)]
    spread = _squares_without_outliers(other, alpha)
    for number in range(max(1, (len(side) - 1) // 2), 0, -1):
        low, rest = order[:number], [side[index] for index in order[number:]]
        if _are_outliers([side[index] for index in low], rest, spread, alpha / len(side)):
            return low
    return []


def _squares_without_outliers(accuracies: Sequence[float], alpha: float) -> tuple[float, int]:
    """Return the sum of squares around the mean and its degrees of freedom, without a side's own low outliers."""
    order = sorted(accuracies)
    for number in range((len(order) - 1) // 2, 0, -1):
        if _are_outliers(order[:number], order[number:], (0.0, 0), alpha / len(order)):
            order = order[number:]
            break
    return _squares(order), len(order) - 1


def _are_outliers(low: Sequence[float], rest: Sequence[float], other: tuple[float, int], level: float) -> bool:
    degrees_of_freedom = len(rest) - 1 + other[1]
    if degrees_of_freedom < 1:
        return False
    sd = math.sqrt((_squares(rest) + other[0]) / degrees_of_freedom)
    threshold = -float(special.stdtrit(degrees_of_freedom, level)) * sd * math.sqrt(1 + 1 / len(rest))
    return max(low) < statistics.fmean(rest) - max(threshold, LEAST_DROP)


def _squares(accuracies: Sequence[float]) -> float:
    mean = statistics.fmean(accuracies)
    return sum((accuracy - mean) ** 2 for accuracy in accuracies)


def _is_far_below(accuracy: float, others: Sequence[float]) -> bool:
    return accuracy < statistics.fmean(others) - LEAST_DROP


def _has_one_class(record: Record) -> bool:
    return len(set(record.predictions)) == 1


def _diverged(record: Record) -> bool:
    return any(not math.isfinite(epoch.train_loss) for epoch in record.epochs)


def _sentence(record: Record, side: Sequence[Record], failed: Sequence[Record]) -> str:
    others = [other.accuracy for other in side if other not in failed]
    if _diverged(record):
        verb = "diverged:"
    elif _has_one_class(record):
        verb = "predicts one class only:"
    elif record.accuracy < statistics.fmean(others) - _COLLAPSE:
        verb = "collapsed:"
    else:
        verb = "fell to"
    low, high = f"{min(others):.2f}", f"{max(others):.2f}"
    spread = low if low == high else f"{low} to {high}"
    return f"seed {record.seed} of {len(side)} {verb} {record.accuracy:.2f}, the others {spread}"
