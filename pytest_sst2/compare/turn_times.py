"""Compare the times of a cell that two environments measured by turns.

A *turn* is a pair of processes, one in each environment. They run one round at a time: before, after, after, before.
Other load on the machine therefore slows both sides equally, to within seconds. So wall seconds are compared, without a
unit of the machine's speed, whichever kernels it uses.
"""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import special

from pytest_sst2.compare.cell_times import (
    BETWEEN_PHASES,
    SHORTEST_REPEATED_SECONDS,
    SHORTEST_SECONDS,
    SPEED_ALPHA,
    PhaseTimeChange,
    common_phases,
    phase_seconds,
    speed_of,
)
from pytest_sst2.compare.time_ratio import LARGEST_LOG, RESOLUTION_SECONDS
from pytest_sst2.results.record import Record, Round
from pytest_sst2.utils.formatting import plural, relative_margin

Turn = tuple[Sequence[Round], Sequence[Round]]
"""The rounds of both sides, equally many: the first of one ran next to the first of the other, and so on."""

# A phase that is a smaller part of its cell is not timed: if it took twice as long, the cell would take 5 % longer. The
# time of the whole cell is always compared, so a phase that grows further is noticed in it, and then has this share.
LEAST_SHARE = 0.05

# A cell is looked at after so many turns: 4, 6, 8, 12, 16, 24, ... The k-th look spends 1 / (k (k + 1)) of alpha, so
# all looks together spend at most alpha, for any number of them and any dependence (Bonferroni).
_LOOKS = sorted([2**power for power in range(2, 16)] + [3 * 2**power for power in range(1, 15)])


def is_look(turns: int) -> bool:
    """Return whether a cell is looked at after so many turns."""
    return turns in _LOOKS


def share_of_alpha(turns: int) -> float:
    """Return the share of alpha that a look after so many turns spends: that of the first planned look not before it.

    A run whose budget ends between two looks takes the next one early.
    """
    number = bisect.bisect_left(_LOOKS, turns) + 1
    return 1 / (number * (number + 1))


def turns_of(before: Sequence[Record], after: Sequence[Record]) -> list[Turn]:
    """Return the turns that the records of one cell on both sides have in common; none if they took no turns."""
    old, new = _rounds_by_turn(before), _rounds_by_turn(after)
    return [(old[name], new[name]) for name in old if len(old[name]) == len(new.get(name, ()))]


def _rounds_by_turn(records: Sequence[Record]) -> dict[str, list[Round]]:
    rounds: dict[str, list[Round]] = {}
    for record in records:
        for one in record.rounds:
            if one.turn:
                rounds.setdefault(one.turn, []).append(one)
    return rounds


class TurnTimes:
    """The times of one cell on two sides, measured by turns.

    Args:
        turns: At least one.
        tolerance: The growth of a time, a fraction, up to which it is held.
    """

    def __init__(self, turns: Sequence[Turn], tolerance: float) -> None:
        # The first round of a process also imports libraries.
        self._turns: list[Turn] = [(old[1:] or old, new[1:] or new) for old, new in turns]
        self._tolerance = tolerance
        names = common_phases([one for turn in turns for side in turn for one in side])
        is_single = any(len(old) == 1 for old, _ in turns)
        self._shortest = SHORTEST_SECONDS if is_single else SHORTEST_REPEATED_SECONDS
        self._whole = [*names, BETWEEN_PHASES]
        self._timed = [name for name in self._whole if self._is_long_enough(name)]
        self._untimed = [name for name in names if name not in self._timed]

    def _is_long_enough(self, name: str) -> bool:
        """Return whether a phase takes the shortest time, and the least share of the cell, on one side at least."""
        seconds, whole = self._medians([name]), self._medians(self._whole)
        shares = (part / max(all_, RESOLUTION_SECONDS) for part, all_ in zip(seconds, whole, strict=True))
        return max(seconds) >= self._shortest and max(shares) >= LEAST_SHARE

    def phases(self) -> tuple[PhaseTimeChange, ...]:
        """Return the change of every phase that is long enough, and last of the sum of all phases."""
        if max(self._medians(self._whole)) < self._shortest:
            return ()
        return (*(self._change(name, [name]) for name in self._timed), self._change("all", self._whole))

    def limits(self, changes: Sequence[PhaseTimeChange]) -> Iterator[str]:
        """Yield why some of the times cannot be decided."""
        if not changes:
            least = f"the cell takes less than {self._shortest:g} s"
            yield f"time not compared: {least}; a larger --sst2-train-size makes it longer"
        elif self._untimed:
            least = f"less than {LEAST_SHARE:.0%} of the cell, or than {self._shortest:g} s".replace("%", " %")
            yield f"timed within all only: {', '.join(self._untimed)} ({least})"
        if undecided := [change for change in changes if change.speed == "undecided"]:
            names = ", ".join(change.name for change in undecided)
            margin = relative_margin(max(change.margin for change in undecided))
            noise = f"its noise is {margin} after {plural(len(self._turns), 'turn')}"
            yield f"time undecided for {names}: {noise}; a larger --budget narrows it"

    def _medians(self, names: Sequence[str]) -> tuple[float, float]:
        """Return both sides' median seconds."""
        old, new = ([phase_seconds(one, names) for turn in self._turns for one in turn[side]] for side in (0, 1))
        return statistics.median(old), statistics.median(new)

    def _change(self, name: str, names: Sequence[str]) -> PhaseTimeChange:
        alpha = SPEED_ALPHA * share_of_alpha(len(self._turns)) / (len(self._timed) + 1)
        log_ratio, log_margin = mean_and_margin([_log_ratio(turn, names) for turn in self._turns], alpha=alpha)
        ratio, margin = math.exp(log_ratio), math.expm1(log_margin)
        before, after = (round(seconds, 6) for seconds in self._medians(names))
        speed = speed_of(ratio, margin, self._tolerance)
        return PhaseTimeChange(name, before, after, round(ratio, 4), round(margin, 4), speed)


def _log_ratio(turn: Turn, names: Sequence[str]) -> float:
    """Return the median logarithm of after divided by before, over the pairs of rounds that ran next to each other.

    The median ignores single pairs that something disturbed.
    """
    old, new = ([max(phase_seconds(one, names), RESOLUTION_SECONDS) for one in side] for side in turn)
    ratio = statistics.median(math.log(later / earlier) for earlier, later in zip(old, new, strict=True))
    return min(max(ratio, -LARGEST_LOG), LARGEST_LOG)


def mean_and_margin(log_ratios: Sequence[float], *, alpha: float) -> tuple[float, float]:
    """Return the mean, and the distance to its one-sided bound at 1 - ``alpha`` by Student's t.

    Processes of one environment differ by chance, so turns are the independent values, not rounds. The distance of a
    single value is ``LARGEST_LOG``.
    """
    values = np.asarray(log_ratios)
    if len(values) == 1:
        return float(values[0]), LARGEST_LOG
    quantile = float(special.stdtrit(len(values) - 1, 1 - alpha))
    margin = quantile * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()), min(margin, LARGEST_LOG)
