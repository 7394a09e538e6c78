"""Compare the times of one cell: of its phases, of what is between them, and of one sentence."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_sst2.compare.time_ratio import RESOLUTION_SECONDS, Timing, idle_seconds, time_ratio
from pytest_sst2.results.record import Environment, Record, Round
from pytest_sst2.utils.formatting import relative_margin

# A time is slower only if it grows by more than this, and held only if it is shown to grow by no more.
SPEED_TOLERANCE = 0.10
# Noise if seconds or units are the only estimate: other threads or another processor, or another BLAS.
OTHER_MACHINE_MARGIN = 0.60
# Noise of the median latency of one record, and where the waits for a core were not counted: next to another job a
# training took up to eight times as long.
LATENCY_MARGIN = 1.0
UNCOUNTED_LATENCY_MARGIN = 7.0
# Shorter phases are mostly start-up: a fit of 0.03 s can take 0.4 s if it is the first of a process.
SHORTEST_SECONDS = 0.5
# Seconds that imports may add to a short phase in the first round of a process, in whichever cell that is: the same
# features of tfidf took 34 and 580 ms.
START_UP_SECONDS = 1.0
# Shorter times of a phase after the first round of a process, and of one sentence, are mostly overhead.
SHORTEST_REPEATED_SECONDS = 0.05
SHORTEST_LATENCY = 0.005
# One-sided error rate of all times of a cell together.
SPEED_ALPHA = 0.01
# The time of reading weights depends on the disk cache, not on the method.
_IGNORED_PHASES = ("load",)
_ROUNDING = 1 + 1e-9
# It decides the order of sets.
_NO_KERNELS = {"PYTHONHASHSEED"}
BETWEEN_PHASES = "between phases"
ONE_SENTENCE = "one sentence"

Speed = Literal["slower", "faster", "held", "undecided"]


@dataclass(frozen=True)
class PhaseTimeChange:
    """The time of one phase (``all`` for the sum of the long ones) before and after, medians over the rounds.

    Attributes:
        ratio: After divided by before, in units of the machine's speed if these can be compared; 2.0 is twice as slow.
        margin: The noise of the ratio, as a fraction; smaller changes cannot be detected.
        speed: ``slower`` or ``faster`` if the ratio exceeds both the margin and the tolerance. ``held`` if the time is
            shown to have grown by no more than the tolerance. Else ``undecided``.
    """

    name: str
    before_seconds: float
    after_seconds: float
    ratio: float
    margin: float
    speed: Speed


def machine_difference(before: Environment, after: Environment) -> str:
    """Return the differences between two machines that may change their seconds; empty if there are none."""
    differences = []
    for name in ("cpu_model", "cpu_cores", "threads", "device_name"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            differences.append(f"{name.replace('_', ' ')} {new}, was {old}")
    return "; ".join(differences)


def kernel_difference(before: Environment, after: Environment) -> str:
    """Return the differences that may change the kernels of the machine's fixed work, and so its unit of speed.

    Another processor has its own kernels, so these count on the same one only.
    """
    differences = [f"blas {after.blas}, was {before.blas}"] if before.blas != after.blas else []
    recorded = before.cpu_model == after.cpu_model and before.blas_kernels and after.blas_kernels
    if recorded and before.blas_kernels != after.blas_kernels:
        differences.append(f"blas kernels {after.blas_kernels}, was {before.blas_kernels}")
    for name in sorted({*before.variables, *after.variables} - _NO_KERNELS):
        old, new = (side.variables.get(name, "not set") for side in (before, after))
        if old != new:
            differences.append(f"{name} {new}, was {old}")
    return "; ".join(differences)


def rounds_of(records: Iterable[Record]) -> list[Round]:
    """Return the rounds of all records."""
    return [round_ for record in records for round_ in record.rounds]


class CellTimes:
    """The times of the same cell on two sides. Every round has measured the machine's speed.

    ``tolerance`` is the growth of a time, a fraction, up to which it is held.
    """

    def __init__(self, before: Sequence[Record], after: Sequence[Record], tolerance: float) -> None:
        self._sides = (before, after)
        self._tolerance = tolerance
        one, other = before[0].environment, after[0].environment
        self._machine, self._kernels = machine_difference(one, other), kernel_difference(one, other)
        # The fixed work is shared out to all threads; much of a cell is not.
        self._has_other_threads = (one.cpu_cores, one.threads) != (other.cpu_cores, other.threads)
        # The first round of a process also imports libraries, so short times need later ones.
        self._is_repeated = all(len(record.rounds) > 2 for record in (*before, *after))
        self._long = [name for name in self._names() if self._longest((name,)) >= SHORTEST_SECONDS]
        candidates = (*self._names(), BETWEEN_PHASES) if self._is_repeated else ()
        self._short = [
            name
            for name in candidates
            if name not in self._long and self._longest((name,), first=1) >= SHORTEST_REPEATED_SECONDS
        ]
        p50 = max(record.latency.p50_seconds for record in (*before, *after))
        self._has_latency = p50 >= SHORTEST_LATENCY

    def phases(self) -> tuple[PhaseTimeChange, ...]:
        """Return the change of every phase that is long enough, and last of the sum of the long ones."""
        changes = [self._phase(name, (name,)) for name in self._long]
        changes += [self._phase(name, (name,), first=1) for name in self._short]
        return (*changes, *([self._phase("all", self._long)] if self._long else []))

    def latency(self) -> PhaseTimeChange | None:
        """Return the change of the time of one sentence; None if it is too short to be compared."""
        if not self._has_latency:
            return None
        old, new = ([_latency_timing(record) for record in side] for side in self._sides)
        is_counted = all(record.latency.delay_seconds is not None for side in self._sides for record in side)
        return self._change(ONE_SENTENCE, old, new, LATENCY_MARGIN if is_counted else UNCOUNTED_LATENCY_MARGIN)

    def limits(self, changes: Sequence[PhaseTimeChange]) -> Iterator[str]:
        """Yield why some of the times cannot be decided."""
        undecided = [change for change in changes if change.speed == "undecided" and change.name != ONE_SENTENCE]
        if not undecided:
            return
        reasons = ["one round"] if min(len(rounds_of(side)) for side in self._sides) == 1 else []
        reasons += [f"another machine ({self._machine})"] if self._machine else []
        reasons += [f"other kernels ({self._kernels})"] if self._kernels else []
        if any(timing.idle_seconds < timing.seconds / (1 + self._tolerance) for timing in self._all_timings()):
            reasons.append("other programs took the cores")
        margin = relative_margin(max(change.margin for change in undecided))
        why = f" ({', '.join(reasons)})" if reasons else ""
        rounds = "" if self._machine or self._kernels else "; --sst2-rounds 5 on an idle machine narrows it"
        yield f"time undecided: its noise is {margin}{why}{rounds}"

    def _names(self) -> list[str]:
        return common_phases([round_ for side in self._sides for round_ in rounds_of(side)])

    def _longest(self, names: Sequence[str], *, first: int = 0) -> float:
        """Return the longer of the two sides' median seconds."""
        return max(statistics.median(timing.seconds for timing in side) for side in self._timings(names, first))

    def _timings(self, names: Sequence[str], first: int = 0) -> list[list[Timing]]:
        """Return both sides' times of some phases, from round ``first`` of each record on."""
        return [
            [_phase_timing(round_, names) for record in side for round_ in record.rounds[first:]]
            for side in self._sides
        ]

    def _all_timings(self) -> Iterator[Timing]:
        for side in self._timings(self._long or self._names()):
            yield from side

    def _phase(self, name: str, names: Sequence[str], *, first: int = 0) -> PhaseTimeChange:
        old, new = self._timings(names, first)
        shorter = min(statistics.median(timing.seconds for timing in side) for side in (old, new))
        is_start_up_possible = shorter < SHORTEST_SECONDS and not self._is_repeated
        start_up = START_UP_SECONDS / max(shorter, RESOLUTION_SECONDS) if is_start_up_possible else 0.0
        return self._change(name, old, new, start_up)

    def _change(
        self, name: str, old: Sequence[Timing], new: Sequence[Timing], least_margin: float = 0.0
    ) -> PhaseTimeChange:
        # Seconds of two machines, and units of two kernels, cannot be compared.
        is_elsewhere = self._machine and not self._has_other_threads
        scales = ["seconds"] if self._kernels else ["units"] if is_elsewhere else ["units", "seconds"]
        count = len(self._long) + len(self._short) + bool(self._long) + self._has_latency
        ratio, margin = time_ratio(
            old,
            new,
            scales=scales,
            alpha=SPEED_ALPHA / count,
            least_margin=max(least_margin, OTHER_MACHINE_MARGIN if self._machine or self._kernels else 0.0),
        )
        before, after = (round(statistics.median(timing.seconds for timing in side), 6) for side in (old, new))
        speed = speed_of(ratio, margin, self._tolerance)
        return PhaseTimeChange(name, before, after, round(ratio, 4), round(margin, 4), speed)


def speed_of(ratio: float, margin: float, tolerance: float) -> Speed:
    """Return the verdict on a time that takes ``ratio`` times as long as before, with a noise and a tolerance."""
    limit = (1 + max(margin, tolerance)) * _ROUNDING
    if ratio > limit:
        return "slower"
    if ratio < 1 / limit:
        return "faster"
    return "held" if ratio * (1 + margin) <= (1 + tolerance) * _ROUNDING else "undecided"


def common_phases(rounds: Sequence[Round]) -> list[str]:
    """Return the phases that all rounds ran without a cache. Loading is none of them."""
    cached = {phase.name for round_ in rounds for phase in round_.phases if phase.cached}
    names = dict.fromkeys(phase.name for phase in rounds[0].phases)
    return [
        name
        for name in names
        if name not in (*_IGNORED_PHASES, *cached)
        and all(any(phase.name == name for phase in round_.phases) for round_ in rounds)
    ]


def phase_seconds(round_: Round, names: Sequence[str]) -> float:
    """Return the wall seconds of some phases of a round. One of them may be ``BETWEEN_PHASES``."""
    seconds = sum(phase.seconds for phase in round_.phases if phase.name in names)
    if BETWEEN_PHASES in names:
        seconds += max(round_.seconds - sum(phase.seconds for phase in round_.phases), 0.0)
    return seconds


def _phase_timing(round_: Round, names: Sequence[str]) -> Timing:
    """Return the time of some phases of a round, or of what is between its phases."""
    assert round_.machine_seconds is not None  # noqa: S101 - the caller has checked it
    seconds = phase_seconds(round_, names)
    if BETWEEN_PHASES in names:
        return Timing(seconds, seconds, round_.machine_seconds, round_.machine_spread)
    phases = [phase for phase in round_.phases if phase.name in names]
    idle = sum(idle_seconds(phase.seconds, phase.delay_seconds) for phase in phases)
    return Timing(seconds, idle, round_.machine_seconds, round_.machine_spread)


def _latency_timing(record: Record) -> Timing:
    last = record.rounds[-1]
    assert last.machine_seconds is not None  # noqa: S101 - the caller has checked it
    seconds, latency = record.latency.p50_seconds, record.latency
    idle = idle_seconds(seconds, latency.delay_seconds)
    return Timing(seconds, idle, last.machine_seconds, last.machine_spread)
