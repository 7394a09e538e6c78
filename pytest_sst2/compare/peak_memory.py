"""Compare the peak memory of one cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_sst2.results.record import Round

MEMORY_TOLERANCE = 0.25
SMALLEST_MEMORY_BYTES = 64 * 2**20

MemoryState = Literal["more", "held", "undecided"]


@dataclass(frozen=True)
class PeakMemoryChange:
    """Peak memory in bytes before and after: of the accelerator if there is one, else of the process.

    Attributes:
        before_bytes: The highest peak of any round.
        after_bytes: The same of the later run.
        state: ``held`` if the peak rose by no more than the tolerance. ``more`` if it did, and the cell itself needs
            more. ``undecided`` if only the process held more before the cell started.
        before_start_bytes: Memory of the process before the cell; 0 for an accelerator.
        after_start_bytes: The same of the later run.
    """

    before_bytes: int
    after_bytes: int
    state: MemoryState
    before_start_bytes: int = 0
    after_start_bytes: int = 0

    @property
    def is_more(self) -> bool:
        """Whether the cell needs more memory, by more than the tolerance."""
        return self.state == "more"

    @property
    def ratio(self) -> float:
        """After divided by before; infinite if before is 0."""
        return self.after_bytes / self.before_bytes if self.before_bytes else float("inf")


def compare_peak_memory(old: Sequence[Round], new: Sequence[Round]) -> tuple[PeakMemoryChange | None, str]:
    """Return the change of the peak, and a sentence about its limits; None if it was not measured on both sides.

    A phase that a cache answered needs less memory, so only rounds are compared in which the same phases were cached.

    The peak of a process includes what earlier cells and imports left behind, and the growth during a cell depends on
    what earlier cells had already allocated. A cell needs more memory only if both rise by more than the tolerance.
    """
    common = _fewest_cached(old, new)
    if common is None:
        return None, "memory not compared: a cache answered other phases than before"
    old, new = ([round_ for round_ in rounds if _cached(round_) == common] for rounds in (old, new))
    device = [[round_.device_peak_bytes for round_ in rounds if round_.device_peak_bytes] for rounds in (old, new)]
    if all(device):
        first, second = (int(statistics.median_low(side)) for side in device)
        return PeakMemoryChange(first, second, "more" if _rose(first, second) else "held"), ""
    growth = [
        [round_.peak_growth_bytes for round_ in rounds if round_.peak_growth_bytes is not None] for rounds in (old, new)
    ]
    if not all(growth):
        return None, ""
    first, second = (max(round_.peak_bytes for round_ in rounds) for rounds in (old, new))
    grew = _rose(*(int(statistics.median_low(side)) for side in growth))
    state: MemoryState = "held" if not _rose(first, second) else "more" if grew else "undecided"
    starts = (min(round_.peak_bytes - (round_.peak_growth_bytes or 0) for round_ in rounds) for rounds in (old, new))
    change = PeakMemoryChange(first, second, state, *starts)
    return change, _start_note(change) if state == "undecided" else ""


def _fewest_cached(old: Sequence[Round], new: Sequence[Round]) -> frozenset[str] | None:
    """Return the cached phases of rounds that both sides have, the fewest; None if there are none."""
    kinds = {_cached(round_) for round_ in old} & {_cached(round_) for round_ in new}
    return min(kinds, key=lambda kind: (len(kind), sorted(kind)), default=None)


def _cached(round_: Round) -> frozenset[str]:
    return frozenset(phase.name for phase in round_.phases if phase.cached)


def _rose(before: int, after: int) -> bool:
    return after > before * (1 + MEMORY_TOLERANCE) and after - before > SMALLEST_MEMORY_BYTES


def _start_note(change: PeakMemoryChange) -> str:
    before, after = (f"{size / 2**20:,.0f} MB" for size in (change.before_start_bytes, change.after_start_bytes))
    return (
        f"memory undecided: the process held {after} before the cell, was {before}. The libraries need more, or other "
        "cells ran before it"
    )
