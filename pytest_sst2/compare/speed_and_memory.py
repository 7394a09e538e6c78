"""Compare the time and peak memory of one cell.

Times are compared in seconds, and in units of a fixed piece of work on the same machine, so that a slower machine is
not a slower library. ``cell_times`` compares the times, ``turn_times`` those that were measured by turns, and
``peak_memory`` the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_sst2.compare.cell_times import (
    SPEED_TOLERANCE,
    CellTimes,
    PhaseTimeChange,
    kernel_difference,
    machine_difference,
    rounds_of,
)
from pytest_sst2.compare.peak_memory import PeakMemoryChange, compare_peak_memory
from pytest_sst2.compare.turn_times import TurnTimes, turns_of
from pytest_sst2.results.record import Record


@dataclass(frozen=True)
class SpeedAndMemoryChange:
    """The time and peak memory of one cell before and after, and the limits of the comparison in sentences.

    The phase ``all`` is the sum of the phases that are long enough. Memory and latency, the time of one sentence,
    are None if they were not measured or cannot be compared.
    """

    phases: tuple[PhaseTimeChange, ...]
    memory: PeakMemoryChange | None
    notes: tuple[str, ...]
    latency: PhaseTimeChange | None = None

    @property
    def times(self) -> tuple[PhaseTimeChange, ...]:
        """The phases and the latency."""
        return self.phases + ((self.latency,) if self.latency else ())

    @property
    def slower(self) -> bool:
        """Whether any phase, the sum of all, or one sentence is slower."""
        return any(change.speed == "slower" for change in self.times)

    @property
    def more_memory(self) -> bool:
        """Whether the cell needs more memory, by more than the tolerance."""
        return self.memory is not None and self.memory.is_more

    @property
    def overall(self) -> PhaseTimeChange | None:
        """The sum of the long phases; None if none was compared."""
        return next((phase for phase in self.phases if phase.name == "all"), None)


def compare_speed_and_memory(
    before: Sequence[Record],
    after: Sequence[Record],
    *,
    time_tolerance: float = SPEED_TOLERANCE,
    other_work: str = "",
) -> SpeedAndMemoryChange:
    """Compare the time and memory of one cell over all rounds of its records.

    Rounds that both sides measured by turns decide the times of the phases, the others everything else.

    Args:
        before: The earlier records of the cell.
        after: The later records of the cell.
        time_tolerance: The growth of a time, a fraction, up to which it is held.
        other_work: Why the two sides do not do the same work, in words. Nothing is compared then.
    """
    if other_work:
        return SpeedAndMemoryChange((), None, (f"times and memory not compared: {other_work}",))
    turns = turns_of(before, after)
    before, after = _without_turns(before), _without_turns(after)
    memory, memory_note = compare_peak_memory(rounds_of(before), rounds_of(after))
    notes = (memory_note,) if memory_note else ()
    if reason := _incomparable_times(before, after, by_turns=bool(turns)):
        return SpeedAndMemoryChange((), memory, (reason, *notes))
    times = CellTimes(before, after, time_tolerance)
    of_phases = TurnTimes(turns, time_tolerance) if turns else times
    phases, latency = of_phases.phases(), times.latency()
    limits = of_phases.limits([*phases, *([latency] if latency and not turns else [])])
    return SpeedAndMemoryChange(phases, memory, (*limits, *notes), latency)


def _without_turns(records: Sequence[Record]) -> list[Record]:
    """Return the records with the rounds that took no turns; unchanged if all did."""
    return [
        replace(record, rounds=[one for one in record.rounds if not one.turn] or record.rounds) for record in records
    ]


def _incomparable_times(before: Sequence[Record], after: Sequence[Record], *, by_turns: bool) -> str:
    """Return why times cannot be compared; empty if they can. By turns, both sides ran on the same machine."""
    records = (*before, *after)
    if not all(round_.machine_seconds for record in records for round_ in record.rounds):
        return "times not compared: one side was saved by a release that did not measure the machine's speed"
    if any(record.placement.concurrent_workers for record in records):
        return "times not compared: on one side other workers ran on the same cores"
    old, new = before[0].placement.processes, after[0].placement.processes
    if old != new:
        return f"times not compared: trained by {new} process{'es' if new > 1 else ''}, was {old}"
    one, other = before[0].environment, after[0].environment
    if one.device != other.device:
        return f"times not compared: device {other.device}, was {one.device}"
    if by_turns:
        return ""
    if (kernels := kernel_difference(one, other)) and (machine := machine_difference(one, other)):
        return f"times not compared: another machine ({machine}) and other kernels ({kernels})"
    return ""
