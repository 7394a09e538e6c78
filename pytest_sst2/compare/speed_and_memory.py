"""Costs: time and memory of one cell before and after, and what of the difference can be told from noise.

Times are divided by what a fixed piece of work took beside them, so that a slower machine is not a slower library.
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

# A phase may become this much slower before anybody is told, however sure it is.
SPEED_TOLERANCE = 0.10
# What one round against one round leaves open on a steady machine, and by how many times the machine's own
# unsteadiness that grows; docs/verdicts.md says what both were measured from.
ONE_ROUND_MARGIN = 0.40
UNSTEADY_FACTOR = 2.0
# What is left open where the unit itself may have changed: other threads, another processor, another BLAS.
OTHER_MACHINE_MARGIN = 0.60
# Shorter phases are all start-up: a fit of 0.03 s can take 0.4 s when it is the first of a process.
SHORTEST_SECONDS = 0.5
CONFIDENCE = 0.99
# Reading weights is as fast as the disk's cache is full; the rest is not the method's.
_NOT_JUDGED = ("load",)

MEMORY_TOLERANCE = 0.25
LEAST_MEMORY_BYTES = 64 * 2**20

SpeedVerdict = Literal["slower", "faster", "same"]


@dataclass(frozen=True)
class PhaseChange:
    """One phase before and after.

    Attributes:
        name: The phase, or ``all`` for the sum of those compared.
        before_seconds: Median over the rounds, as the clock had it.
        after_seconds: The same afterwards.
        ratio: After by before in units of the machine's speed; 2.0 is twice as slow.
        margin: What the noise leaves open: changes of less than this share cannot be told.
        verdict: Whether the ratio is beyond both margin and tolerance.
    """

    name: str
    before_seconds: float
    after_seconds: float
    ratio: float
    margin: float
    verdict: SpeedVerdict


@dataclass(frozen=True)
class MemoryChange:
    """Peak memory before and after, in bytes: of the process, or of the accelerator where there is one."""

    before_bytes: int
    after_bytes: int
    heavier: bool

    @property
    def ratio(self) -> float:
        """After by before."""
        return self.after_bytes / self.before_bytes


@dataclass(frozen=True)
class CostChange:
    """Time and memory of one cell.

    Attributes:
        phases: Those that were compared; the sum, called ``all``, comes last. Empty where nothing could be.
        memory: None where it was not measured.
        notes: What limits the comparison, in words.
    """

    phases: tuple[PhaseChange, ...]
    memory: MemoryChange | None
    notes: tuple[str, ...]

    @property
    def slower(self) -> bool:
        """Whether any phase, or their sum, became slower."""
        return any(phase.verdict == "slower" for phase in self.phases)

    @property
    def heavier(self) -> bool:
        """Whether peak memory rose."""
        return self.memory is not None and self.memory.heavier

    @property
    def overall(self) -> PhaseChange | None:
        """The sum of all phases, None where nothing was compared."""
        return self.phases[-1] if self.phases else None


def compare_costs(before: Sequence[Record], after: Sequence[Record]) -> CostChange:
    """Compare time and memory of one cell's records, one a seed, on either side; all their rounds count."""
    old, new = (tuple(each for record in records for each in record.rounds) for records in (before, after))
    memory = _memory(old, new)
    if reason := _not_comparable(before, after):
        return CostChange((), memory, (reason,))
    machine = _other_machine(before[0].environment, after[0].environment)
    names = _compared_phases(old, new)
    changes = [_phase_change(name, (name,), old, new, other_machine=bool(machine)) for name in names]
    if names:
        changes.append(_phase_change("all", names, old, new, other_machine=bool(machine)))
    limits = ["one round"] if min(len(old), len(new)) == 1 else []
    limits += [f"another machine ({machine})"] if machine else []
    notes = (
        [f"{', '.join(limits)}: cannot tell below {relative_margin(changes[-1].margin)}"] if changes and limits else []
    )
    return CostChange(tuple(changes), memory, tuple(notes))


def _not_comparable(before: Sequence[Record], after: Sequence[Record]) -> str:
    """Return why times cannot be compared, empty where they can."""
    records = (*before, *after)
    if any(each.machine_seconds is None for record in records for each in record.rounds):
        return "times not compared: one side was saved before the machine's own speed was measured"
    if any(record.placement.concurrent_workers for record in records):
        return "times not compared: one side was measured beside other workers on the same cores"
    old, new = before[0].placement.processes, after[0].placement.processes
    if old != new:
        return f"times not compared: {new} process{'es' if new > 1 else ''} trained it, was {old}"
    if before[0].environment.device != after[0].environment.device:
        return f"times not compared: device {after[0].environment.device}, was {before[0].environment.device}"
    return ""


def _other_machine(before: Environment, after: Environment) -> str:
    """Return in what the machine differs, as far as that may change its own unit of speed."""
    found = []
    for name in ("cpu_model", "cpu_cores", "threads", "device_name", "blas"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found.append(f"{name.replace('_', ' ')} {new}, was {old}")
    return "; ".join(found)


def _compared_phases(old: Sequence[Round], new: Sequence[Round]) -> tuple[str, ...]:
    """Return the phases that both sides did, in earnest and for long enough to be timed."""
    cached = {phase.name for each in (*old, *new) for phase in each.phases if phase.cached}
    names = [phase.name for phase in old[0].phases if phase.name not in (*_NOT_JUDGED, *cached)]
    return tuple(
        name
        for name in names
        if all(_seconds(each, (name,)) is not None for each in (*old, *new))
        and max(_median_seconds(old, (name,)), _median_seconds(new, (name,))) >= SHORTEST_SECONDS
    )


def _seconds(each: Round, names: Iterable[str]) -> float | None:
    found = [phase.seconds for phase in each.phases if phase.name in names]
    return sum(found) if found else None


def _median_seconds(rounds: Sequence[Round], names: Iterable[str]) -> float:
    return statistics.median(_seconds(each, names) or 0.0 for each in rounds)


def _phase_change(
    name: str, names: Sequence[str], old: Sequence[Round], new: Sequence[Round], *, other_machine: bool
) -> PhaseChange:
    first, second = (np.log([_units(each, names) for each in rounds]) for rounds in (old, new))
    difference = float(second.mean() - first.mean())
    unsteady = max(each.machine_spread for each in (*old, *new))
    margin = math.expm1(log_margin(first, second, unsteady))
    if other_machine:
        margin = max(margin, OTHER_MACHINE_MARGIN)
    ratio = math.exp(difference)
    beyond = 1 + max(margin, SPEED_TOLERANCE)
    verdict: SpeedVerdict = "slower" if ratio > beyond else "faster" if ratio < 1 / beyond else "same"
    before_seconds, after_seconds = (round(_median_seconds(rounds, names), 6) for rounds in (old, new))
    return PhaseChange(name, before_seconds, after_seconds, round(ratio, 4), round(margin, 4), verdict)


def _units(each: Round, names: Sequence[str]) -> float:
    """Return a round's seconds in units of the machine's own speed."""
    assert each.machine_seconds is not None  # noqa: S101 - compare_costs has seen to it
    return max(_seconds(each, names) or 0.0, 1e-9) / each.machine_seconds


def log_margin(first: np.ndarray, second: np.ndarray, unsteady: float = 0.0) -> float:
    """Return what the spread of the rounds leaves open of a difference of mean logarithms.

    Half the width of Welch's 99 % interval (Welch 1947, Biometrika 34). A side with one round has no spread: there the
    margin is that of one round against one round, if the other side's spread does not ask for more.

    Args:
        first: Logarithms of one side's rounds, shape (n,).
        second: Those of the other, shape (m,).
        unsteady: The largest spread of the machine's own speed within a round; with one round it widens the margin.
    """
    variances = [float(side.var(ddof=1)) / len(side) if len(side) > 1 else 0.0 for side in (first, second)]
    one_round = min(len(first), len(second)) == 1
    single = math.log1p(max(ONE_ROUND_MARGIN, UNSTEADY_FACTOR * unsteady)) if one_round else 0.0
    if not sum(variances):
        return single
    freedom = sum(variances) ** 2 / sum(
        variance**2 / (len(side) - 1) for variance, side in zip(variances, (first, second), strict=True) if variance
    )
    return max(single, float(special.stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(sum(variances)))


def _memory(old: Sequence[Round], new: Sequence[Round]) -> MemoryChange | None:
    """Compare peak memory.

    A process's peak counts what earlier cells and imports left behind, and its growth depends on what they had
    already paid for; neither alone tells a heavier cell from one in other company. Both have to rise.
    """
    device = [[each.device_peak_bytes for each in rounds if each.device_peak_bytes] for rounds in (old, new)]
    if all(device):
        first, second = (int(statistics.median_low(side)) for side in device)
        return MemoryChange(first, second, _rose(first, second))
    grown = [[each.peak_growth_bytes for each in rounds if each.peak_growth_bytes is not None] for rounds in (old, new)]
    first, second = (max(each.peak_bytes for each in rounds) for rounds in (old, new))
    if not all(grown):
        return None
    grew = _rose(*(int(statistics.median_low(side)) for side in grown))
    return MemoryChange(first, second, grew and second - first > LEAST_MEMORY_BYTES)


def _rose(before: int, after: int) -> bool:
    return after > before * (1 + MEMORY_TOLERANCE) and after - before > LEAST_MEMORY_BYTES
