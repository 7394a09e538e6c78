"""Two processes that take turns; threads stand for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.runner import turns
from pytest_sst2.runner.turns import SIDES, Turns, end_side, turn_variables, turns_of_process


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every slice end at once."""
    for name in ("_SETTLE_SECONDS", "_SLICE_SECONDS", "_POLL_SECONDS"):
        monkeypatch.setattr(turns, name, 0.0)


class Pair:
    """Both sides, and what ran, in this order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ran: list[str] = []
        self._alone = threading.Lock()

    def run(self, before: Callable[[Turns], None], after: Callable[[Turns], None]) -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(self._side, *one) for one in zip(SIDES, (before, after), strict=True)]:
                done.result(timeout=120)
        return self.ran

    def _side(self, name: str, work: Callable[[Turns], None]) -> None:
        try:
            work(Turns(self.folder, name))
        finally:
            end_side(self.folder, name)

    def note(self, what: str) -> None:
        assert self._alone.acquire(blocking=False), "both sides run at once"
        self.ran.append(what)
        self._alone.release()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_rounds_alternate_and_so_does_who_begins(pair: Pair) -> None:
    def side(name: str) -> Callable[[Turns], None]:
        def work(own: Turns) -> None:
            for _ in range(2):
                own.enter_cell()
                for _ in range(3):
                    own.wait()
                    pair.note(name)
                    own.finish_round()
                own.wait_for_rounds()

        return work

    assert "".join(pair.run(side("B"), side("A"))) == "BAABAB" + "BAABAB"


def test_a_long_round_is_run_in_slices_and_the_wait_is_in_no_phase(pair: Pair) -> None:
    clocks = {}

    def side(name: str, batches: int) -> Callable[[Turns], None]:
        def work(own: Turns) -> None:
            clock = clocks[name] = PhaseClock(turn=own)
            own.enter_cell()
            own.wait()
            with clock.phase("encode"):
                for number in range(batches):
                    pair.note(f"{name}{number}")
                    clock.step(number + 1, batches)
            own.finish_round()

        return work

    # The longer one goes on alone.
    assert pair.run(side("B", 4), side("A", 2)) == ["B0", "A0", "B1", "A1", "B2", "B3"]
    assert all(clock.phases[0].seconds < 1 for clock in clocks.values())


def test_no_side_waits_for_one_that_failed_or_ended(pair: Pair) -> None:
    def fails(own: Turns) -> None:
        own.enter_cell()
        own.wait()  # and no round: its first cell fails
        own.enter_cell()
        own.wait()
        pair.note("B of the second cell")

    def work(own: Turns) -> None:
        for cell in ("first", "second"):
            own.enter_cell()
            for _ in range(2):
                own.wait()
                own.finish_round()
            own.wait_for_rounds()
            pair.note(f"A of the {cell} cell")

    assert pair.run(fails, work)[-1] == "A of the second cell"


def test_only_a_process_of_a_turn_takes_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert turns_of_process() is None
    for name, value in turn_variables(tmp_path, "after").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    assert turns_of_process() is not None
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert turns_of_process() is None
