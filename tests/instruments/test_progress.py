"""Progress: what is said while people wait."""

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

from pytest_sst2.instruments import progress as module
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.instruments.progress import Display, Progress


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def work(clock: Clock) -> Progress:
    return Progress(planned=["probe"] * 3, _now=clock)


def test_a_cell_is_said_with_its_place_in_the_run(work: Progress) -> None:
    with work.working_on("minilm-fine-tune-seed42", "probe"):
        assert work.line() == "cell 1 of 3 · minilm-fine-tune-seed42"


def test_batches_tell_how_long_a_phase_still_takes(work: Progress, clock: Clock) -> None:
    with work.working_on("a", "probe"):
        work.enter("train")
        assert work.line() == "cell 1 of 3 · a · train"
        work.step(0, 60)
        assert work.line() == "cell 1 of 3 · a · train 0 of 60 batches"
        clock.now += 10
        work.step(20, 60)
        assert work.line() == "cell 1 of 3 · a · train 20 of 60 batches, 20 s left"


def test_cells_that_are_done_tell_how_long_the_run_still_takes(work: Progress, clock: Clock) -> None:
    with work.working_on("a", "probe"):
        clock.now += 100
    with work.working_on("b", "probe"):
        clock.now += 30
        assert work.line() == "cell 2 of 3 · b · about 3 min left in all"
        clock.now += 500
        assert work.line() == "cell 2 of 3 · b · about 2 min left in all"


def test_the_time_left_waits_for_a_cell_of_each_method_that_is_to_come(clock: Clock) -> None:
    work = Progress(planned=["tfidf", "fine-tune", "fine-tune", "tfidf"], _now=clock)
    with work.working_on("a", "tfidf"):
        clock.now += 1
    with work.working_on("b", "fine-tune"):
        assert "left in all" not in work.line()
        clock.now += 50
    with work.working_on("c", "fine-tune"):
        clock.now += 10
        assert work.line().endswith("about 41 s left in all")


def test_a_phase_within_another_gives_way_to_it_again(work: Progress) -> None:
    phases = PhaseClock(progress=work)
    with work.working_on("a", "probe"):
        with phases.phase("train"):
            with phases.phase("evaluate"):
                phases.step(1, 2)
                assert "evaluate 1 of 2 batches" in work.line()
            assert work.line().endswith("· train")
        assert work.line() == "cell 1 of 3 · a"


def test_a_phase_that_goes_on_after_another_within_it_keeps_count_and_pace(work: Progress, clock: Clock) -> None:
    with work.working_on("a", "probe"):
        work.enter("train")
        clock.now += 10
        work.step(10, 40)
        work.enter("evaluate")
        clock.now += 100
        work.leave()
        assert work.line() == "cell 1 of 3 · a · train 10 of 40 batches, 30 s left"
        clock.now += 10
        work.step(20, 40)
        assert work.line() == "cell 1 of 3 · a · train 20 of 40 batches, 20 s left"


def test_a_name_moves_no_cursor(work: Progress) -> None:
    with work.working_on("a\x1b]0;title\x07\nb", "probe"):
        assert work.line() == "cell 1 of 3 · a\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} b"


def test_a_number_of_cells_that_is_not_known_is_not_said() -> None:
    unknown = Progress()
    with unknown.working_on("a", "probe"):
        assert unknown.line() == "cell 1 · a"


def shown(monkeypatch: pytest.MonkeyPatch, *, live: bool, column: int = 0, wait: str = "") -> str:
    """Return what a display writes while a cell is in work."""
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOG_SECONDS", 0.01)
    monkeypatch.setenv("COLUMNS", "30")
    stream = io.StringIO()
    work = Progress(planned=["probe"], display=Display(stream, live=live, column=lambda: column))
    with work.working_on("a-cell-with-a-long-name-seed42", "probe"):
        work.enter("train")
        deadline = time.monotonic() + 5
        while wait not in stream.getvalue() and time.monotonic() < deadline:
            time.sleep(0.005)
    return stream.getvalue()


def test_a_terminal_gets_one_line_below_pytests_that_is_gone_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, live=True, column=12, wait="\r\x1b[2Kcell")
    line = "cell 1 of 1 · a-cell-with-a-l"
    assert len(line) == 29
    assert text.startswith(f"\n\x1b[2K{line}\r\x1b[2K{line}")
    # Erased, one up, and twelve to the right: where pytest's own line had got to.
    assert text.endswith("\r\x1b[2K\x1b[1A\x1b[12C")


def test_a_log_gets_whole_lines_and_no_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, live=False, wait="train\n")
    assert "\x1b" not in text
    assert text.startswith("\nsst2: cell 1 of 1 · a-cell-with-a-long-name-seed42")


def test_a_cell_that_is_done_at_once_leaves_no_trace() -> None:
    stream = io.StringIO()
    work = Progress(display=Display(stream, live=True))
    with work.working_on("a", "probe"):
        pass
    assert stream.getvalue() == ""


def test_a_terminal_that_went_away_fails_nobodys_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.001)
    raised: list[object] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    stream = io.StringIO()
    stream.close()
    with Progress(display=Display(stream, live=True)).working_on("a", "probe"):
        time.sleep(0.02)
    assert raised == []


SLOW = """
import time
import numpy as np
import pytest_sst2.instruments.progress
from pytest_sst2 import MethodSpec

pytest_sst2.instruments.progress.LOG_SECONDS = pytest_sst2.instruments.progress.LIVE_SECONDS = 0.05


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

    def test_a_log_says_how_far_it_is(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow")
        result.stdout.re_match_lines([r"sst2: cell 1 of 1 · slow-seed42 · fit \d+ of 10 batches, 0 s left"])
        assert "the library talks" not in result.stdout.str()
        assert "\x1b" not in result.stdout.str()

    def test_quiet_is_quiet(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow", "-q")
        assert "sst2: cell" not in result.stdout.str()
        assert "the library talks" not in result.stdout.str()

    def test_verbose_shows_what_the_libraries_say(self, slow: pytest.Pytester) -> None:
        result = slow.runpytest_subprocess("--methods", "slow", "-v")
        assert "the library talks" in result.stdout.str()
        assert "sst2: cell 1 of 1" in result.stdout.str()

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_a_terminal_that_shows_live_logs_has_no_line_that_they_would_break(self, slow: pytest.Pytester) -> None:
        assert "\x1b[2K" not in on_a_terminal([*self.COMMAND, "-o", "log_cli=true"], slow.path)

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_a_terminal_keeps_nothing_of_the_line_when_the_cell_is_done(self, slow: pytest.Pytester) -> None:
        text = on_a_terminal(self.COMMAND, slow.path)
        screen = text.split("test_bench.py", 1)[1]
        assert re.match(r" \r?\n\x1b\[2Kcell 1 of 1 · slow-seed42", screen)
        # Erased, one up, and back behind "test_bench.py ", where pytest goes on.
        assert re.search(r"\r\x1b\[2K\x1b\[1A\x1b\[14C\x1b\[32m\.", screen)
        assert "\x1b[32mpass" in text

    @pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX")
    def test_colours_are_left_out_where_nobody_wants_them(self, slow: pytest.Pytester) -> None:
        text = on_a_terminal(self.COMMAND, slow.path, NO_COLOR="1")
        assert "\x1b[32m" not in text
        assert "pass" in text


def on_a_terminal(command: Sequence[str], folder: Path, **variables: str) -> str:
    """Run a command on a pseudo-terminal of 80 columns and return all that it wrote there."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", **variables}
    for name in {"CI", "COLUMNS", "NO_COLOR", "PY_COLORS"} - set(variables):
        environment.pop(name, None)
    process = subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    parts = []
    # At its end the other side is gone, which Linux calls an error of input and output.
    with contextlib.suppress(OSError):
        while part := os.read(ours, 4096):
            parts.append(part)
    os.close(ours)
    assert process.wait(timeout=60) == 0
    return b"".join(parts).decode()
