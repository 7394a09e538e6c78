"""Progress display: a line on a terminal that is removed, lines in a log, nothing with -q."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pytest_sst2.hub import download
from pytest_sst2.instruments.progress import Progress
from pytest_sst2.session import progress_display as module
from pytest_sst2.session.progress_display import ProgressDisplay


def written(monkeypatch: pytest.MonkeyPatch, *, live: bool, column: int = 0, wait: str = "") -> str:
    """Return what a display writes while a cell is measured."""
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOG_SECONDS", 0.01)
    monkeypatch.setenv("COLUMNS", "30")
    stream = io.StringIO()
    work = Progress(planned=["probe"], display=ProgressDisplay(stream, live=live, column=lambda: column))
    with work.working_on("a-cell-with-a-long-name-seed42", "probe"):
        work.enter("train")
        deadline = time.monotonic() + 5
        while wait not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.005)
    return stream.getvalue()


def test_a_terminal_gets_one_line_below_pytests_which_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(monkeypatch, live=True, column=12, wait="\r\x1b[2Kcell")
    line = "cell 1 of 1 · a-cell-with-a-l"
    assert len(line) == 29
    assert text.startswith(f"\n\x1b[2K{line}\r\x1b[2K{line}")
    # Erase the line, go up one line and 12 columns to the right: to the end of pytest's own line.
    assert text.endswith("\r\x1b[2K\x1b[1A\x1b[12C")


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
@pytest.mark.parametrize(("cell", "shown"), [("a" * 80, "a" * 50), ("模" * 80, "模" * 25)], ids=["narrow", "wide"])
def test_the_line_fits_the_terminal_that_it_is_drawn_on(cell: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pty

    monkeypatch.setattr(module, "LIVE_SECONDS", 0.01)
    monkeypatch.setenv("COLUMNS", "200")
    ours, theirs = pty.openpty()
    set_width(theirs, 60)
    with os.fdopen(theirs, "w", encoding="utf-8") as stream:
        work = Progress(display=ProgressDisplay(stream, live=True))
        with work.working_on(cell, "probe"):
            drawn = os.read(ours, 4096).decode()
    os.close(ours)
    assert drawn.strip().split("\r")[0] == f"\x1b[2Kcell 1 · {shown}"


def test_a_download_before_the_first_cell_is_shown_and_nothing_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.01)
    stream = io.StringIO()
    work = Progress(display=ProgressDisplay(stream, live=True))
    with work.loading():
        time.sleep(0.05)
        assert stream.getvalue() == ""
        monkeypatch.setattr(download, "_current", ["downloading org/words, 3 of 7 MB"])
        while "3 of 7 MB" not in stream.getvalue():
            time.sleep(0.005)
    assert stream.getvalue().endswith("\r\x1b[2K\x1b[1A")


def test_a_log_gets_whole_lines_without_escape_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(monkeypatch, live=False, wait="train\n")
    assert "\x1b" not in text
    assert text.startswith("\nsst2 · cell 1 of 1 · a-cell-with-a-long-name-seed42")


def test_a_cell_that_finishes_at_once_shows_nothing() -> None:
    stream = io.StringIO()
    work = Progress(display=ProgressDisplay(stream, live=True))
    with work.working_on("a", "probe"):
        pass
    assert stream.getvalue() == ""


def test_a_closed_terminal_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.001)
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    stream = io.StringIO()
    stream.close()
    with Progress(display=ProgressDisplay(stream, live=True)).working_on("a", "probe"):
        time.sleep(0.02)
    assert raised == []


SLOW = """
import time
import numpy as np
import pytest_sst2.session.progress_display
from pytest_sst2 import MethodSpec

pytest_sst2.session.progress_display.LOG_SECONDS = pytest_sst2.session.progress_display.LIVE_SECONDS = 0.05


def slow(job):
    print("the library talks")
    with job.clock.phase("fit"):
        for done in range(1, 11):
            time.sleep(0.05)
            job.clock.step(done, 10)
    return lambda sentences: np.full(len(sentences), 0.75)


def pytest_sst2_methods():
    return [MethodSpec("slow", slow, needs_model=False)]
"""


@pytest.mark.processes
class TestInARun:
    COMMAND = (*(sys.executable, "-m", "pytest"), "--methods=slow", "--sst2-min-accuracy=0.1", "-p", "no:cacheprovider")

    @pytest.fixture
    def slow(self, project: pytest.Pytester) -> pytest.Pytester:
        project.makeconftest(SLOW)
        project.makepyfile(test_bench="def test_cell(sst2_run):\n    sst2_run.measure()\n")
        return project

    def test_a_log_shows_the_progress(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow")
        result.stdout.re_match_lines([r"sst2 · cell 1 of 1 · slow seed 42 · fit \d+ of 10 batches, 0 s left"])
        assert "the library talks" not in result.stdout.str()
        assert "\x1b" not in result.stdout.str()

    def test_quiet_shows_nothing(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow", "-q")
        assert "sst2 · cell" not in result.stdout.str()
        assert "the library talks" not in result.stdout.str()

    def test_verbose_shows_output_of_libraries(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow", "-v")
        assert "the library talks" in result.stdout.str()
        assert "sst2 · cell 1 of 1" in result.stdout.str()

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_a_terminal_with_live_logs_has_no_live_line(self, slow: pytest.Pytester) -> None:
        assert "\x1b[2K" not in on_a_terminal([*self.COMMAND, "-o", "log_cli=true"], slow.path)

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_the_live_line_is_removed_when_the_cell_is_finished(self, slow: pytest.Pytester) -> None:
        text = on_a_terminal(self.COMMAND, slow.path)
        screen = text.split("test_bench.py", 1)[1]
        assert re.match(r" \r?\n\x1b\[2Kcell 1 of 1 · slow seed 42", screen)
        # Erase the line, and return to the end of "test_bench.py ", where pytest continues.
        assert re.search(r"\r\x1b\[2K\x1b\[1A\x1b\[14C\x1b\[32m\.", screen)
        assert "\x1b[32mpass" in text

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_no_color_disables_colours(self, slow: pytest.Pytester) -> None:
        text = on_a_terminal(self.COMMAND, slow.path, NO_COLOR="1")
        assert "\x1b[32m" not in text
        assert "pass" in text


def set_width(terminal: int, columns: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def on_a_terminal(command: Sequence[str], folder: Path, **variables: str) -> str:
    """Run a command on a pseudo-terminal of 80 columns and return all that it wrote there."""
    import pty

    ours, theirs = pty.openpty()
    set_width(theirs, 80)
    environment = {**os.environ, "TERM": "xterm", **variables}
    for name in {"CI", "COLUMNS", "NO_COLOR", "PY_COLORS"} - set(variables):
        environment.pop(name, None)
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    parts = []
    # When the command ends, Linux reports an I/O error on our end of the terminal.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            parts.append(part)
    os.close(ours)
    assert process.wait(timeout=300) == 0
    return b"".join(parts).decode()
