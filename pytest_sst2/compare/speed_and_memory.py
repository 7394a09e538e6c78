"""Compare the time and peak memory of one cell, and estimate how much of a difference is noise.

Times are divided by the time of a fixed piece of work on the same machine, so a slower machine is not a slower library.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from pytest_sst2.results.record import Environment, Record, Round
from pytest_sst2.utils.formatting import relative_margin

# A phase is slower only if its time grows by more than this, however small the noise.
SPEED_TOLERANCE = 0.10
# Noise of one round against one round on a steady machine, and by which factor the spread of the machine's own speed
# widens it. docs/verdicts.md has the measurements.
ONE_ROUND_MARGIN = 0.40
MACHINE_SPREAD_FACTOR = 2.0
# Noise if the unit itself may have changed: other threads, another processor, another BLAS.
OTHER_MACHINE_MARGIN = 0.60
# Shorter phases are mostly start-up: a fit of 0.03 s can take 0.4 s if it is the first of a process.
SHORTEST_SECONDS = 0.5
SPEED_CONFIDENCE = 0.99
# exp of more overflows.
_LARGEST_LOG = 700.0
# The time of reading weights depends on the disk cache, not on the method.
_IGNORED_PHASES = ("load",)

MEMORY_TOLERANCE = 0.25
SMALLEST_MEMORY_BYTES = 64 * 2**20

Speed = Literal["slower", "faster", "same"]


@dataclass(frozen=True)
class PhaseTimeChange:
    """The time of one phase (``all`` for the sum of the compared phases) before and after, medians over the rounds.

    Attributes:
        ratio: After divided by before, in units of the machine's speed; 2.0 is twice as slow.
        margin: The noise of the ratio, as a fraction; smaller changes cannot be detected.
        speed: ``slower`` or ``faster`` if the ratio exceeds both the margin and the tolerance, else ``same``.
    """

    name: str
    before_seconds: float
    after_seconds: float
    ratio: float
    margin: float
    speed: Speed


@dataclass(frozen=True)
class PeakMemoryChange:
    """Peak memory in bytes before and after: of the accelerator if there is one, else of the process.

    ``is_more`` is whether the peak rose by more than the tolerance.
    """

    before_bytes: int
    after_bytes: int
    is_more: bool

    @property
    def ratio(self) -> float:
        """After divided by before."""
        return self.after_bytes / self.before_bytes


@dataclass(frozen=True)
class SpeedAndMemoryChange:
    """The time and peak memory of one cell before and after, and the limits of the comparison in sentences.

    The last phase is the sum of the others, ``all``. Memory is None if it was not measured.
    """

    phases: tuple[PhaseTimeChange, ...]
    memory: PeakMemoryChange | None
    notes: tuple[str, ...]

    @property
    def slower(self) -> bool:
        """Whether any phase, or the sum of all, is slower."""
        return any(phase.speed == "slower" for phase in self.phases)

    @property
    def more_memory(self) -> bool:
        """Whether peak memory rose by more than the tolerance."""
        return self.memory is not None and self.memory.is_more

    @property
    def overall(self) -> PhaseTimeChange | None:
        """The sum of all compared phases; None if no phase was compared."""
        return self.phases[-1] if self.phases else None


def compare_speed_and_memory(before: Sequence[Record], after: Sequence[Record]) -> SpeedAndMemoryChange:
    """Compare the time and memory of one cell over all rounds of its records."""
    old, new = (tuple(round_ for record in records for round_ in record.rounds) for records in (before, after))
    memory = _memory_change(old, new)
    if reason := _incomparable_times(before, after):
        return SpeedAndMemoryChange((), memory, (reason,))
    machine = _machine_difference(before[0].environment, after[0].environment)
    names = _compared_phases(old, new)
    changes = [_phase_change(name, (name,), old, new, other_machine=bool(machine)) for name in names]
    if names:
        changes.append(_phase_change("all", names, old, new, other_machine=bool(machine)))
    limits = ["in one round"] if min(len(old), len(new)) == 1 else []
    limits += [f"on another machine ({machine})"] if machine else []
    if not (changes and limits):
        return SpeedAndMemoryChange(tuple(changes), memory, ())
    margin = relative_margin(changes[-1].margin)
    note = f"measured {' and '.join(limits)}, so changes of less than {margin} cannot be detected"
    return SpeedAndMemoryChange(tuple(changes), memory, (note,))


def _incomparable_times(before: Sequence[Record], after: Sequence[Record]) -> str:
    """Return why times cannot be compared; empty if they can."""
    records = (*before, *after)
    if not all(round_.machine_seconds for record in records for round_ in record.rounds):
        return "times not compared: one side was saved by a release that did not measure the machine's speed"
    if any(record.placement.concurrent_workers for record in records):
        return "times not compared: on one side other workers ran on the same cores"
    old, new = before[0].placement.processes, after[0].placement.processes
    if old != new:
        return f"times not compared: trained by {new} process{'es' if new > 1 else ''}, was {old}"
    if before[0].environment.device != after[0].environment.device:
        return f"times not compared: device {after[0].environment.device}, was {before[0].environment.device}"
    return ""


def _machine_difference(before: Environment, after: Environment) -> str:
    """Return what differs between two machines and may change their unit of speed; empty if nothing does."""
    differences = []
    for name in ("cpu_model", "cpu_cores", "threads", "device_name", "blas"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            differences.append(f"{name.replace('_', ' ')} {new}, was {old}")
    return "; ".join(differences)


def _compared_phases(old: Sequence[Round], new: Sequence[Round]) -> tuple[str, ...]:
    """Return the phases that both sides ran without a cache, and for long enough to be timed."""
    cached = {phase.name for round_ in (*old, *new) for phase in round_.phases if phase.cached}
    names = [phase.name for phase in old[0].phases if phase.name not in (*_IGNORED_PHASES, *cached)]
    return tuple(
        name
        for name in names
        if all(_seconds(round_, (name,)) is not None for round_ in (*old, *new))
        and max(_median_seconds(old, (name,)), _median_seconds(new, (name,))) >= SHORTEST_SECONDS
    )


def _seconds(round_: Round, names: Iterable[str]) -> float | None:
    seconds = [phase.seconds for phase in round_.phases if phase.name in names]
    return sum(seconds) if seconds else None


def _median_seconds(rounds: Sequence[Round], names: Iterable[str]) -> float:
    return statistics.median(_seconds(round_, names) or 0.0 for round_ in rounds)


def _phase_change(
    name: str, names: Sequence[str], old: Sequence[Round], new: Sequence[Round], *, other_machine: bool
) -> PhaseTimeChange:
    first, second = (np.log([_units(round_, names) for round_ in rounds]) for rounds in (old, new))
    difference = float(second.mean() - first.mean())
    machine_spread = max(round_.machine_spread for round_ in (*old, *new))
    margin = math.expm1(min(log_margin(first, second, machine_spread), _LARGEST_LOG))
    if other_machine:
        margin = max(margin, OTHER_MACHINE_MARGIN)
    ratio = math.exp(max(-_LARGEST_LOG, min(difference, _LARGEST_LOG)))
    limit = 1 + max(margin, SPEED_TOLERANCE)
    speed: Speed = "slower" if ratio > limit else "faster" if ratio < 1 / limit else "same"
    before_seconds, after_seconds = (round(_median_seconds(rounds, names), 6) for rounds in (old, new))
    return PhaseTimeChange(name, before_seconds, after_seconds, round(ratio, 4), round(margin, 4), speed)


def _units(round_: Round, names: Sequence[str]) -> float:
    """Return a round's seconds in units of the machine's speed."""
    assert round_.machine_seconds is not None  # noqa: S101 - _incomparable_times has checked it
    # A round of a method that remembers its results takes no time.
    seconds = min(max(_seconds(round_, names) or 0.0, 1e-9), 1e30)
    return seconds / max(round_.machine_seconds, 1e-12)


def log_margin(first: np.ndarray, second: np.ndarray, machine_spread: float = 0.0) -> float:
    """Return the noise of a difference of mean logarithms.

    It is half the width of Welch's 99 % interval (Welch 1947, Biometrika 34). A side with one round has no spread. The
    noise is then that of one round against one round, or the spread of the other side if that is larger. The largest
    spread of the machine's own speed within a round widens it. The sides are logarithms, of shapes (n,) and (m,).
    """
    variances = [float(side.var(ddof=1)) / len(side) if len(side) > 1 else 0.0 for side in (first, second)]
    is_one_round = min(len(first), len(second)) == 1
    single = math.log1p(max(ONE_ROUND_MARGIN, MACHINE_SPREAD_FACTOR * machine_spread)) if is_one_round else 0.0
    if not sum(variances):
        return single
    degrees_of_freedom = sum(variances) ** 2 / sum(
        variance**2 / (len(side) - 1) for variance, side in zip(variances, (first, second), strict=True) if variance
    )
    quantile = float(special.stdtrit(degrees_of_freedom, (1 + SPEED_CONFIDENCE) / 2))
    return max(single, quantile * math.sqrt(sum(variances)))


def _memory_change(old: Sequence[Round], new: Sequence[Round]) -> PeakMemoryChange | None:
    """Compare peak memory; None if it was not measured on both sides.

    The peak of a process includes what earlier cells and imports left behind. The growth during a cell depends on what
    earlier cells had already allocated. A cell needs more memory only if both rise.
    """
    device = [[round_.device_peak_bytes for round_ in rounds if round_.device_peak_bytes] for rounds in (old, new)]
    if all(device):
        first, second = (int(statistics.median_low(side)) for side in device)
        return PeakMemoryChange(first, second, _rose(first, second))
    growth = [
        [round_.peak_growth_bytes for round_ in rounds if round_.peak_growth_bytes is not None] for rounds in (old, new)
    ]
    first, second = (max(round_.peak_bytes for round_ in rounds) for rounds in (old, new))
    if not all(growth):
        return None
    grew = _rose(*(int(statistics.median_low(side)) for side in growth))
    return PeakMemoryChange(first, second, grew and second - first > SMALLEST_MEMORY_BYTES)


def _rose(before: int, after: int) -> bool:
    return after > before * (1 + MEMORY_TOLERANCE) and after - before > SMALLEST_MEMORY_BYTES
