"""Progress: the current cell, its phase and batches, and an estimate of the time left."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_sst2.hub.download import current_download
from pytest_sst2.utils.clock import CLOCK
from pytest_sst2.utils.formatting import duration
from pytest_sst2.utils.sanitize import one_line

# A cell's time outside its named phases, which the line does not name.
UNNAMED_PHASE = "rest"


class Display(Protocol):
    """Shows the progress while data are loaded or a cell is measured."""

    def start(self, progress: Progress) -> None:
        """Start to show the progress."""

    def stop(self) -> None:
        """Stop, and remove what is shown."""


@dataclass
class _OpenPhase:
    name: str
    started: float
    done: int = 0
    of: int = 0  # 0 if the phase has no batches


@dataclass
class Progress:
    """The progress of a run. Cells write it; the display reads it from another thread.

    ``planned`` has the method of each cell of the run, in order. The current cell has ``number``, from 1, and a name,
    ``cell``, which is empty between cells. ``elsewhere`` returns the progress of cells on a cluster.
    """

    planned: Sequence[str] = ()
    number: int = 0
    cell: str = ""
    display: Display | None = None
    elsewhere: Callable[[], str] | None = None
    _now: Callable[[], float] = CLOCK.seconds
    _cell_started: float = 0.0
    _open: list[_OpenPhase] = field(default_factory=list)
    _finished_seconds: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def working_on(self, cell: str, method: str) -> Iterator[None]:
        """Make a cell the current one while the body runs."""
        self.number += 1
        self.cell = cell
        self._cell_started = self._now()
        try:
            with self.loading():
                yield
        finally:
            self._finished_seconds.setdefault(method, []).append(self._now() - self._cell_started)
            self.cell = ""

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Show the downloads before the first cell while the body runs."""
        if self.display is not None:
            self.display.start(self)
        try:
            yield
        finally:
            if self.display is not None:
                self.display.stop()

    def enter(self, phase: str) -> None:
        """Open a phase inside the open one, if any."""
        self._open.append(_OpenPhase(phase, self._now()))

    def leave(self) -> None:
        """Close the innermost phase, and leave its time out of the phase around it."""
        inner = self._open.pop()
        if self._open:
            self._open[-1].started += self._now() - inner.started

    def step(self, done: int, of: int) -> None:
        """Set the number of finished batches of the innermost phase, and of all its batches."""
        if self._open:
            self._open[-1].done, self._open[-1].of = done, of

    def line(self) -> str:
        """Return one line with the cell, its download or phase, and the time left if it can be estimated.

        Between cells it is the download, or empty.
        """
        download = current_download()
        if not self.cell:
            return one_line(download)
        parts = [f"cell {self.number}{f' of {len(self.planned)}' if self.planned else ''}", download or self.cell]
        # Another thread may close the phase at any moment.
        if (phase := next(reversed(self._open), None)) is not None and phase.name != UNNAMED_PHASE:
            parts.append(self._phase_text(phase))
        if self.elsewhere is not None:
            parts.append(self.elsewhere())
        elif (left := self._run_seconds_left()) is not None:
            parts.append(f"about {duration(left)} left in all")
        return one_line(" · ".join(parts))

    def _phase_text(self, phase: _OpenPhase) -> str:
        if not phase.of:
            return phase.name
        text = f"{phase.name} {phase.done} of {phase.of} batches"
        if not phase.done:
            return text
        left = (self._now() - phase.started) * (phase.of - phase.done) / phase.done
        return f"{text}, {duration(left)} left"

    def _run_seconds_left(self) -> float | None:
        """Return the seconds left if each cell takes as long as the finished cells of its method on average.

        None if no cell of a remaining method is finished, because the time of one method says nothing about another.
        """
        to_come = self.planned[self.number - 1 :]
        if not to_come or not all(method in self._finished_seconds for method in to_come):
            return None
        this, *others = (statistics.fmean(self._finished_seconds[method]) for method in to_come)
        return max(0.0, this - (self._now() - self._cell_started)) + sum(others)
