"""Progress: what is said while people wait."""

from __future__ import annotations

import io
import time

import pytest

from pytest_sst2 import progress as module
from pytest_sst2.progress import Display, Progress, duration
from pytest_sst2.timing import PhaseClock


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
    return Progress(total=3, _now=clock)


def test_a_cell_is_said_with_its_place_in_the_run(work: Progress) -> None:
    with work.working_on("minilm-fine-tune-seed42"):
        assert work.line() == "cell 1 of 3 · minilm-fine-tune-seed42"


def test_batches_tell_how_long_a_phase_still_takes(work: Progress, clock: Clock) -> None:
    with work.working_on("a"):
        work.enter("train")
        assert work.line() == "cell 1 of 3 · a · train"
        work.step(0, 60)
        assert work.line() == "cell 1 of 3 · a · train 0 of 60 batches"
        clock.now += 10
        work.step(20, 60)
        assert work.line() == "cell 1 of 3 · a · train 20 of 60 batches, 20 s left"


def test_cells_that_are_done_tell_how_long_the_run_still_takes(work: Progress, clock: Clock) -> None:
    with work.working_on("a"):
        clock.now += 100
    with work.working_on("b"):
        clock.now += 30
        assert work.line() == "cell 2 of 3 · b · about 3 min left in all"
        clock.now += 500
        assert work.line() == "cell 2 of 3 · b · about 2 min left in all"


def test_a_phase_within_another_gives_way_to_it_again(work: Progress) -> None:
    phases = PhaseClock(progress=work)
    with work.working_on("a"):
        with phases.phase("train"):
            with phases.phase("evaluate"):
                phases.step(1, 2)
                assert "evaluate 1 of 2 batches" in work.line()
            assert work.line().endswith("· train")
        assert work.line() == "cell 1 of 3 · a"


def test_a_number_of_cells_that_is_not_known_is_not_said() -> None:
    unknown = Progress()
    with unknown.working_on("a"):
        assert unknown.line() == "cell 1 · a"


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3_540, "59 min"), (7_500, "2 h 5 min")]
)
def test_durations_have_the_unit_that_fits(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def shown(monkeypatch: pytest.MonkeyPatch, *, live: bool, column: int = 0, wait: str = "") -> str:
    """Return what a display writes while a cell is in work."""
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.01)
    monkeypatch.setattr(module, "LOG_SECONDS", 0.01)
    monkeypatch.setenv("COLUMNS", "30")
    stream = io.StringIO()
    work = Progress(total=1, display=Display(stream, live=live, column=lambda: column))
    with work.working_on("a-cell-with-a-long-name-seed42"):
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
    with work.working_on("a"):
        pass
    assert stream.getvalue() == ""


def test_a_terminal_that_went_away_fails_nobodys_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIVE_SECONDS", 0.001)
    stream = io.StringIO()
    stream.close()
    with Progress(display=Display(stream, live=True)).working_on("a"):
        time.sleep(0.02)
