"""Compare the time and peak memory of one cell.

Times are compared in seconds, and in units of a fixed piece of work on the same machine, so that a slower machine is
not a slower library. ``cell_times`` compares the times, ``peak_memory`` the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_sst2.compare.cell_times import (
    CellTimes,
    PhaseTimeChange,
    kernel_difference,
    machine_difference,
    rounds_of,
)
from pytest_sst2.compare.peak_memory import PeakMemoryChange, compare_peak_memory
from pytest_sst2.results.record import Record


@dataclass(frozen=True)
class SpeedAndMemoryChange:
    """The time and peak memory of one cell before and after, and the limits of the comparison in sentences.

    The phase ``all`` is the sum of the phases of at least half a second. Memory and latency, the time of one sentence,
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
    before: Sequence[Record], after: Sequence[Record], *, other_work: str = ""
) -> SpeedAndMemoryChange:
    """Compare the time and memory of one cell over all rounds of its records.

    ``other_work`` is why the two sides do not do the same work, in words. Nothing is compared then.
    """
    if other_work:
        return SpeedAndMemoryChange((), None, (f"times and memory not compared: {other_work}",))
    memory, memory_note = compare_peak_memory(rounds_of(before), rounds_of(after))
    notes = (memory_note,) if memory_note else ()
    if reason := _incomparable_times(before, after):
        return SpeedAndMemoryChange((), memory, (reason, *notes))
    times = CellTimes(before, after)
    phases, latency = times.phases(), times.latency()
    limits = times.limits([*phases, *([latency] if latency else [])])
    return SpeedAndMemoryChange(phases, memory, (*limits, *notes), latency)


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
    one, other = before[0].environment, after[0].environment
    if one.device != other.device:
        return f"times not compared: device {other.device}, was {one.device}"
    if (kernels := kernel_difference(one, other)) and (machine := machine_difference(one, other)):
        return f"times not compared: another machine ({machine}) and other kernels ({kernels})"
    return ""
