"""Progress: the line with the cell, its phase and the time left."""

from __future__ import annotations

import pytest

from pytest_sst2.hub import download
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.instruments.progress import UNNAMED_PHASE, Progress


class Clock:
    """A clock that stands still until ``now`` is changed."""

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


def test_the_line_has_the_cell_and_its_place_in_the_run(work: Progress) -> None:
    with work.working_on("minilm-fine-tune-seed42", "probe"):
        assert work.line() == "cell 1 of 3 · minilm-fine-tune-seed42"


def test_finished_batches_show_the_time_left_in_the_phase(work: Progress, clock: Clock) -> None:
    with work.working_on("a", "probe"):
        work.enter("train")
        assert work.line() == "cell 1 of 3 · a · train"
        work.step(0, 60)
        assert work.line() == "cell 1 of 3 · a · train 0 of 60 batches"
        clock.now += 10
        work.step(20, 60)
        assert work.line() == "cell 1 of 3 · a · train 20 of 60 batches, 20 s left"


def test_a_download_is_shown_in_place_of_the_cell(work: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work.line() == ""
    monkeypatch.setattr(download, "_current", ["downloading org/words, 3 of 58 MB"])
    assert work.line() == "downloading org/words, 3 of 58 MB"
    with work.working_on("a", "probe"):
        assert work.line() == "cell 1 of 3 · downloading org/words, 3 of 58 MB"


def test_the_time_outside_named_phases_has_no_name(work: Progress) -> None:
    with work.working_on("a", "probe"):
        work.enter(UNNAMED_PHASE)
        assert work.line() == "cell 1 of 3 · a"


def test_finished_cells_show_the_time_left_in_the_run(work: Progress, clock: Clock) -> None:
    with work.working_on("a", "probe"):
        clock.now += 100
    with work.working_on("b", "probe"):
        clock.now += 30
        assert work.line() == "cell 2 of 3 · b · about 3 min left in all"
        clock.now += 500
        assert work.line() == "cell 2 of 3 · b · about 2 min left in all"


def test_the_time_left_needs_a_finished_cell_of_each_remaining_method(clock: Clock) -> None:
    work = Progress(planned=["tfidf", "fine-tune", "fine-tune", "tfidf"], _now=clock)
    with work.working_on("a", "tfidf"):
        clock.now += 1
    with work.working_on("b", "fine-tune"):
        assert "left in all" not in work.line()
        clock.now += 50
    with work.working_on("c", "fine-tune"):
        clock.now += 10
        assert work.line().endswith("about 41 s left in all")


def test_the_outer_phase_is_shown_again_after_the_inner_one(work: Progress) -> None:
    phases = PhaseClock(progress=work)
    with work.working_on("a", "probe"):
        with phases.phase("train"):
            with phases.phase("evaluate"):
                phases.step(1, 2)
                assert "evaluate 1 of 2 batches" in work.line()
            assert work.line().endswith("· train")
        assert work.line() == "cell 1 of 3 · a"


def test_the_outer_phase_keeps_its_batches_and_its_pace(work: Progress, clock: Clock) -> None:
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


def test_control_characters_of_a_name_are_replaced(work: Progress) -> None:
    with work.working_on("a\x1b]0;title\x07\nb", "probe"):
        assert work.line() == "cell 1 of 3 · a\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} b"


def test_an_unknown_number_of_cells_is_not_shown() -> None:
    unknown = Progress()
    with unknown.working_on("a", "probe"):
        assert unknown.line() == "cell 1 · a"
