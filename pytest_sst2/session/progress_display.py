"""Progress display: a live line on a terminal, or a line every 30 seconds in a log."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import threading
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import pytest

    from pytest_sst2.instruments.progress import Progress

# Seconds between two updates of the line on a terminal, and between two lines in a log.
LIVE_SECONDS = 0.25
LOG_SECONDS = 30.0
# What a line in a log starts with; `pytest-sst2 upgrade` recognises it by that.
LOG_PREFIX = "sst2 · "


class ProgressDisplay:
    """Shows the progress of a cell from a thread of its own.

    If ``live``, it updates one line below pytest's own, and removes it when the cell is finished. Then the cursor
    returns to ``column()``, the width of pytest's line. Otherwise it writes a new line every 30 seconds.
    """

    def __init__(self, stream: TextIO, *, live: bool, column: Callable[[], int] = lambda: 0) -> None:
        self._stream = stream
        self._live = live
        self._column = column
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._drawn = False

    def start(self, progress: Progress) -> None:
        """Start to show the progress of a cell."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, args=(progress,), daemon=True, name="sst2-progress")
        self._thread.start()

    def stop(self) -> None:
        """Remove the line, and return the cursor to the end of pytest's line."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if self._drawn:
            column = self._column()
            self._write("\r\x1b[2K\x1b[1A" + (f"\x1b[{column}C" if column else ""))
            self._drawn = False

    def _run(self, progress: Progress) -> None:
        while not self._stopped.wait(LIVE_SECONDS if self._live else LOG_SECONDS):
            line = progress.line()
            if self._live and (line or self._drawn):
                # pytest's line is unfinished, so the first update starts a new line.
                self._write(f"{chr(13) if self._drawn else chr(10)}\x1b[2K{_cut(line, self._width() - 1)}")
                self._drawn = True
            elif line:
                self._write(f"\n{LOG_PREFIX}{line}\n")

    def _width(self) -> int:
        """Return the columns of the stream's terminal. pytest captures the streams that Python itself would measure."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            columns = 0
        return columns or shutil.get_terminal_size().columns

    def _write(self, text: str) -> None:
        # A terminal that was closed must not fail the run.
        with contextlib.suppress(OSError, ValueError, UnicodeError):
            self._stream.write(text)
            self._stream.flush()


def _cut(line: str, columns: int) -> str:
    """Return as much of a line as fits into some columns of a terminal, where wide characters take two."""
    ends = itertools.accumulate(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)
    return line[: sum(end <= columns for end in ends)]


def display_for(config: pytest.Config) -> ProgressDisplay | None:
    """Return the display for a run: a live line on a terminal, lines in a log, None with ``-q``.

    With ``-v``, ``-s`` or live logs, other output would break a live line, so a terminal gets lines too. Call it while
    pytest's capture is suspended, so that the display writes to the terminal itself.
    """
    verbosity = getattr(config.option, "verbose", 0)
    if verbosity < 0 or not config.pluginmanager.hasplugin("terminalreporter"):
        return None
    try:
        stream = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
    except (OSError, ValueError, AttributeError):  # stdout is not a file, for example in a notebook
        return None
    config.add_cleanup(stream.close)
    # pytest's logging plugin may write to the terminal while tests run.
    live_logs = config.pluginmanager.hasplugin("logging") and (
        config.getini("log_cli") or getattr(config.option, "log_cli_level", None)
    )
    undisturbed = verbosity == 0 and getattr(config.option, "capture", "no") != "no" and not live_logs
    live = undisturbed and stream.isatty() and os.environ.get("TERM") != "dumb"
    writer = config.get_terminal_writer()
    return ProgressDisplay(stream, live=live, column=lambda: writer.width_of_current_line)
