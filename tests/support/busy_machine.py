"""A simulated machine that other programs share, and two environments that are timed on it by turns.

``python -m tests.support.busy_machine 1000`` prints how often a change of a phase is called what it is.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.turn_times import Turn, TurnTimes, is_look
from pytest_sst2.results.record import Phase, Round

_STEP = 0.25
# Of a batch, on an idle machine, and of a slice.
_BATCH_SECONDS = 0.2
_SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class Load:
    """What disturbs a machine.

    Attributes:
        drift: Standard deviation of the logarithm of its speed, which changes over a minute.
        wait: The median of what other programs take, relative to the work; it changes within half a minute.
        bursts: Bursts per minute of a load that doubles the time for some 20 seconds.
        process: Standard deviation of a process, and ``round_`` that of a round, whatever the machine does.
    """

    drift: float
    wait: float
    bursts: float
    process: float = 0.015
    round_: float = 0.02


LOADS = {
    "quiet": Load(0.03, 0.0, 0.06),
    "busy": Load(0.10, 0.3, 0.5),
    "busier": Load(0.15, 0.8, 1.0),
}


class BusyMachine:
    """The time that work takes from now on; time passes with the work."""

    def __init__(self, load: Load, chance: np.random.Generator, seconds: float = 2000.0) -> None:
        self.load, self.chance, self.now = load, chance, 0.0
        steps = int(seconds / _STEP)
        wait = load.wait * np.exp(self._drifting(steps, 1.0, 30.0))
        for step in np.flatnonzero(chance.random(steps) < load.bursts / 60 * _STEP):
            wait[step : step + int(chance.exponential(20.0) / _STEP)] += chance.exponential()
        speed = np.exp(self._drifting(steps, load.drift, 60.0)) / (1 + wait)
        self._times, self._done = np.arange(steps + 1) * _STEP, np.concatenate([[0.0], np.cumsum(speed)]) * _STEP

    def _drifting(self, steps: int, deviation: float, seconds: float) -> np.ndarray:
        """Return a process of Ornstein and Uhlenbeck, of shape (steps,)."""
        from scipy.signal import lfilter

        keep = math.exp(-_STEP / seconds)
        noise = self.chance.standard_normal(steps) * deviation * math.sqrt(1 - keep**2)
        start = keep * deviation * self.chance.standard_normal()
        return np.asarray(lfilter([1.0], [1.0, -keep], noise, zi=[start])[0])

    def seconds(self, work: float) -> float:
        """Do some work, in seconds of an idle machine; return the seconds that it takes."""
        done = np.interp(self.now, self._times, self._done) + work
        start, self.now = self.now, float(np.interp(done, self._done, self._times))
        return max(self.now - start, 1e-3)

    def varied(self, deviation: float) -> float:
        return math.exp(deviation * self.chance.standard_normal())


def one_turn(machine: BusyMachine, factor: float, work: float, rounds: int, start: float = 12.0) -> Turn:
    """Return a turn of two processes, the later of which works ``factor`` times as long; the start is that of both."""
    machine.seconds(start)
    process = [machine.varied(machine.load.process) for _ in range(2)]
    sides: tuple[list[Round], list[Round]] = ([], [])
    for number in range(rounds):
        works = [work * process[side] * machine.varied(machine.load.round_) for side in range(2)]
        works[1] *= factor
        order = (0, 1) if number.bit_count() % 2 == 0 else (1, 0)
        for side, seconds in enumerate(_in_slices(machine, works, order)):
            sides[side].append(Round(seconds, (Phase("encode", seconds),), 0.01, 0, 0))
    return sides


def _in_slices(machine: BusyMachine, works: list[float], order: tuple[int, int]) -> list[float]:
    """Do the work of both sides in slices of a second, and return the seconds of each."""
    seconds = [0.0, 0.0]
    while max(works) > 0:
        for side in order:
            spent = 0.0
            while works[side] > 0 and spent < _SLICE_SECONDS:
                batch = min(_BATCH_SECONDS, works[side])
                works[side] -= batch
                spent += machine.seconds(batch)
            seconds[side] += spent
    return seconds


def verdict(
    load: Load, seed: int, factor: float, *, work: float = 1.0, rounds: int = 11, budget: float = 600.0
) -> tuple[str, int]:
    """Return what a phase is called at the look that decides it, or at the end of the budget, and the turns taken."""
    machine = BusyMachine(load, np.random.default_rng([seed, round(1000 * factor)]), 3 * budget)
    turns: list[Turn] = []
    last = 0.0
    while machine.now + last <= budget or not turns:
        began = machine.now
        turns.append(one_turn(machine, factor, work, rounds))
        last = machine.now - began
        if is_look(len(turns)) and (speed := _speed(turns)) != "undecided":
            return speed, len(turns)
    return _speed(turns), len(turns)


def _speed(turns: list[Turn]) -> str:
    return TurnTimes(turns, SPEED_TOLERANCE).phases()[0].speed


def main(runs: int) -> None:
    """Print a table of the verdicts."""
    for name, load in LOADS.items():
        for work, rounds in ((1.0, 11), (2.0, 6), (5.0, 3), (10.0, 1)):
            for factor in (1.0, 1.15):
                results = [verdict(load, seed, factor, work=work, rounds=rounds) for seed in range(runs)]
                counts = Counter(speed for speed, _ in results)
                shares = ", ".join(f"{speed} {100 * count / runs:.1f} %" for speed, count in counts.most_common())
                turns = np.mean([taken for _, taken in results])
                print(f"{name}, rounds of {work} s, {factor} x: {shares}; {turns:.1f} turns", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
