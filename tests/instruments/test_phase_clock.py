"""Phases add up to at most the wall time."""

from __future__ import annotations

import itertools
import time

import pytest

from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.results.record import Placement
from tests.runner.test_cell_runner import answering, make_runner, measure
from tests.support.record_factory import ENVIRONMENT


def phases_by_name(clock: PhaseClock) -> dict[str, tuple[float, int]]:
    return {phase.name: (phase.seconds, phase.examples) for phase in clock.phases}


def test_the_outer_phase_excludes_the_inner_one() -> None:
    clock = PhaseClock()
    start = time.perf_counter()
    with clock.phase("train", examples=10):
        time.sleep(0.02)
        with clock.phase("predict", examples=3):
            time.sleep(0.05)
    total = time.perf_counter() - start
    phases = phases_by_name(clock)
    assert phases["predict"][0] >= 0.05
    assert 0.02 <= phases["train"][0] < 0.05
    assert phases["train"][0] + phases["predict"][0] <= total
    assert (phases["train"][1], phases["predict"][1]) == (10, 3)


def test_phases_of_one_name_are_added_up() -> None:
    clock = PhaseClock()
    for _ in range(3):
        with clock.phase("predict", examples=5):
            time.sleep(0.005)
    (phase,) = clock.phases
    assert phase.examples == 15
    assert phase.seconds >= 0.015
    assert phase.examples_per_second == pytest.approx(15 / phase.seconds)


def test_a_phase_that_raises_is_not_recorded() -> None:
    clock = PhaseClock()
    with pytest.raises(ValueError, match="inside"), clock.phase("load"):
        raise ValueError("inside")
    with clock.phase("fit"):
        pass
    assert [phase.name for phase in clock.phases] == ["fit"]


def test_the_device_is_synchronized_at_both_ends_of_a_phase() -> None:
    waits: list[str] = []
    clock = PhaseClock(lambda: waits.append("wait"))
    with clock.phase("train"):
        waits.append("work")
    assert waits == ["wait", "work", "wait"]


def test_work_between_phases_counts_for_none() -> None:
    done: list[str] = []

    def between() -> None:
        done.append("between")
        time.sleep(0.05)

    clock = PhaseClock(between=between)
    with clock.phase("rest"):
        with clock.phase("load"):
            done.append("load")
        with clock.phase("fit"):
            done.append("fit")
    assert done == ["load", "between", "fit", "between", "between"]
    assert sum(phase.seconds for phase in clock.phases) < 0.05


def test_a_phase_without_examples_has_no_rate() -> None:
    clock = PhaseClock()
    with clock.phase("load"):
        pass
    assert clock.phases[0].examples_per_second is None


def test_a_clock_that_is_set_back_makes_no_duration_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    backwards = itertools.count(1_800_000_000, -3600)
    monkeypatch.setattr(time, "time", lambda: float(next(backwards)))
    record = measure(make_runner(answering([0.9] * 10), ENVIRONMENT, placement=Placement()))
    assert record.placement.finished >= record.placement.started > 0
    assert all(phase.seconds >= 0 for cost in record.rounds for phase in cost.phases)
    assert record.rounds[0].seconds >= 0
