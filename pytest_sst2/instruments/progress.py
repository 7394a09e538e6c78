"""Progress: what is being done right now, and the line that says so while people wait."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from pytest_sst2.utils.formatting import duration
from pytest_sst2.utils.sanitize import one_line

if TYPE_CHECKING:
    import pytest

# How often a terminal's line is drawn anew, and a log gets another line.
LIVE_SECONDS = 0.25
LOG_SECONDS = 30.0


@dataclass
class _OpenPhase:
    """A phase that has begun: when, how many of its batches are done, and of how many (0: it has none to count)."""

    name: str
    started: float
    done: int = 0
    of: int = 0


@dataclass
class Progress:
    """What the run is doing; written by the cells, read by the display from another thread.

    Attributes:
        planned: The method of each cell of the run, in order; empty while that is not known.
        number: The one in work, from 1.
        cell: Its id; empty between cells.
        display: What shows it, if anything does.
        elsewhere: Where cells are measured elsewhere, says how far that is.
    """

    planned: Sequence[str] = ()
    number: int = 0
    cell: str = ""
    display: Display | None = None
    elsewhere: Callable[[], str] | None = None
    _now: Callable[[], float] = time.monotonic
    _cell_started: float = 0.0
    _open: list[_OpenPhase] = field(default_factory=list)
    _finished_seconds: dict[str, list[float]] = field(default_factory=dict)

    @contextlib.contextmanager
    def working_on(self, cell: str, method: str) -> Iterator[None]:
        """Say for the length of the body that a cell is in work."""
        self.number += 1
        self.cell = cell
        self._cell_started = self._now()
        if self.display is not None:
            self.display.start(self)
        try:
            yield
        finally:
            if self.display is not None:
                self.display.stop()
            self._finished_seconds.setdefault(method, []).append(self._now() - self._cell_started)
            self.cell = ""

    def enter(self, phase: str) -> None:
        """Say that a phase is opened, within the one that is open, if any."""
        self._open.append(_OpenPhase(phase, self._now()))

    def leave(self) -> None:
        """Say that the innermost phase is over; the one around it goes on, and its time does not count there."""
        inner = self._open.pop()
        if self._open:
            self._open[-1].started += self._now() - inner.started

    def step(self, done: int, of: int) -> None:
        """Say how many batches of the innermost phase are done, of how many."""
        if self._open:
            self._open[-1].done, self._open[-1].of = done, of

    def line(self) -> str:
        """Return what is to be said: the cell, its phase, its batches, and the time left where that can be told."""
        said = [f"cell {self.number}{f' of {len(self.planned)}' if self.planned else ''}", self.cell]
        # Another thread may close a phase at any moment.
        if (phase := next(reversed(self._open), None)) is not None:
            said.append(self._phase_said(phase))
        if self.elsewhere is not None:
            said.append(self.elsewhere())
        elif (left := self._run_seconds_left()) is not None:
            said.append(f"about {duration(left)} left in all")
        return one_line(" · ".join(said))

    def _phase_said(self, phase: _OpenPhase) -> str:
        done, of = phase.done, phase.of
        if not of:
            return phase.name
        said = f"{phase.name} {done} of {of} batches"
        if not done:
            return said
        left = (self._now() - phase.started) * (of - done) / done
        return f"{said}, {duration(left)} left"

    def _run_seconds_left(self) -> float | None:
        """Return the seconds that the cells to come take if each is like those of its method before.

        None while a method is to come of which no cell is done: fine-tuning says nothing of a probe.
        """
        to_come = self.planned[self.number - 1 :]
        if not to_come or not all(method in self._finished_seconds for method in to_come):
            return None
        this, *others = (statistics.fmean(self._finished_seconds[method]) for method in to_come)
        return max(0.0, this - (self._now() - self._cell_started)) + sum(others)


class Display:
    """Shows the progress while a cell is in work, from a thread of its own.

    On a terminal it is one line below pytest's own, drawn again and again and gone when the cell is done. In a log it
    is a new line every 30 seconds.

    Args:
        stream: Where to write: the terminal itself, since pytest captures what a test prints.
        live: Whether it is a terminal.
        column: How far pytest's line has got, to which the cursor returns.
    """

    def __init__(self, stream: TextIO, *, live: bool, column: Callable[[], int] = lambda: 0) -> None:
        self._stream = stream
        self._live = live
        self._column = column
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn = False

    def start(self, progress: Progress) -> None:
        """Begin to show a cell's progress."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(progress,), daemon=True, name="sst2-progress")
        self._thread.start()

    def stop(self) -> None:
        """Take the line away, and return the cursor to where pytest left it."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._drawn:
            column = self._column()
            self._write("\r\x1b[2K\x1b[1A" + (f"\x1b[{column}C" if column else ""))
            self._drawn = False

    def _run(self, progress: Progress) -> None:
        while not self._stopped.wait(LIVE_SECONDS if self._live else LOG_SECONDS):
            if self._live:
                room = shutil.get_terminal_size().columns - 1
                # pytest's line is unfinished: ours goes below it.
                self._write(f"{chr(13) if self._drawn else chr(10)}\x1b[2K{progress.line()[:room]}")
                self._drawn = True
            else:
                self._write(f"\nsst2: {progress.line()}\n")

    def _write(self, text: str) -> None:
        # Nobody's run fails because a terminal went away.
        with contextlib.suppress(OSError, ValueError, UnicodeError):
            self._stream.write(text)
            self._stream.flush()


def display_for(config: pytest.Config) -> Display | None:
    """Return what shows the progress of a run: a line on a terminal, lines in a log, None with ``-q``.

    With ``-v``, ``-s`` or live logs, where others write between, there are lines on a terminal too. Called while pytest
    captures nothing, so that what is written later goes past its capture.
    """
    verbosity = getattr(config.option, "verbose", 0)
    if verbosity < 0 or not config.pluginmanager.hasplugin("terminalreporter"):
        return None
    try:
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
    except (OSError, ValueError, AttributeError):  # no file behind it, in a notebook say
        return None
    config.add_cleanup(stream.close)
    undisturbed = verbosity == 0 and getattr(config.option, "capture", "no") != "no" and not _logs_live(config)
    live = undisturbed and stream.isatty() and os.environ.get("TERM") != "dumb"
    writer = config.get_terminal_writer()
    return Display(stream, live=live, column=lambda: writer.width_of_current_line)


def _logs_live(config: pytest.Config) -> bool:
    """Tell whether pytest's logging writes to the terminal while tests run; False without that plugin."""
    if not config.pluginmanager.hasplugin("logging"):
        return False
    return bool(config.getini("log_cli") or getattr(config.option, "log_cli_level", None))
