"""Times by turns: numbers worked by hand, and a simulated busy machine."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter

import pytest

from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange, compare_speed_and_memory
from pytest_sst2.compare.turn_times import TurnTimes, is_look, mean_and_margin, share_of_alpha
from pytest_sst2.results.record import Phase, Record, Round
from tests.support.busy_machine import LOADS, verdict
from tests.support.record_factory import ENVIRONMENT, make_record


def rounds(turn: str, *seconds: float, phase: str = "encode", between: float = 0.0) -> list[Round]:
    return [Round(spent + between, (Phase(phase, spent),), 0.004, 0, 0, turn=turn) for spent in seconds]


def record(*turns: list[Round], **environment: object) -> Record:
    alone = Round(2.0, (Phase("encode", 2.0),), 0.004, 800 * 2**20, 100 * 2**20)
    measured = (alone, *(one for turn in turns for one in turn))
    return make_record(rounds=measured, environment=dataclasses.replace(ENVIRONMENT, **environment))


def compared(before: Record, after: Record, tolerance: float = SPEED_TOLERANCE) -> SpeedAndMemoryChange:
    return compare_speed_and_memory([before], [after], time_tolerance=tolerance)


class TestLooks:
    def test_all_looks_together_spend_alpha(self) -> None:
        looks = [turns for turns in range(1, 2000) if is_look(turns)]
        assert looks[:7] == [4, 6, 8, 12, 16, 24, 32]
        assert [share_of_alpha(turns) for turns in looks[:3]] == [1 / 2, 1 / 6, 1 / 12]
        assert sum(map(share_of_alpha, looks)) < 1

    def test_a_budget_that_ends_between_two_looks_takes_the_next_one(self) -> None:
        assert share_of_alpha(5) == share_of_alpha(6)
        assert share_of_alpha(1) == share_of_alpha(4)


class TestTurns:
    def test_the_margin_is_students_over_the_turns(self) -> None:
        # Logarithms -0.02, 0, 0.02, 0.04: mean 0.01, variance 0.000667, over 4 its root is 0.012910. With 3 degrees of
        # freedom t at 99.5 % is 5.8409.
        mean, margin = mean_and_margin([-0.02, 0.0, 0.02, 0.04], alpha=0.005)
        assert (mean, margin) == (pytest.approx(0.01), pytest.approx(5.8409 * 0.012910, rel=1e-4))

    def test_a_turn_has_the_median_of_its_pairs_and_its_first_round_is_left_out(self) -> None:
        # Pairs 9 (left out), 1.2, 1.2 and 4, of which something disturbed the last.
        turns = [(rounds(name, 1, 1, 2, 1), rounds(name, 9, 1.2, 2.4, 4)) for name in "abcd"]
        before, after = (record(*side) for side in zip(*turns, strict=True))
        change = compared(before, after)
        assert [(phase.name, phase.ratio, phase.speed) for phase in change.phases] == [
            ("encode", 1.2, "slower"),
            ("all", 1.2, "slower"),
        ]
        assert change.notes == ()

    def test_what_disturbs_both_alike_disturbs_nothing(self) -> None:
        factors = (1.0, 3.0, 0.5, 2.0)
        turns = [(rounds(str(n), 1, 1 * n, 1 * n), rounds(str(n), 1, 1.01 * n, 1.01 * n)) for n in factors]
        before, after = (record(*side) for side in zip(*turns, strict=True))
        assert {phase.speed for phase in compared(before, after).phases} == {"held"}

    def test_machine_and_kernels_do_not_matter_because_both_sides_ran_here(self) -> None:
        turns = [rounds(name, 1, 1, 1) for name in "abcd"]
        after = record(*turns, blas="mkl", variables={"OPENBLAS_CORETYPE": "Nehalem"}, threads=1)
        assert {phase.speed for phase in compared(record(*turns), after).phases} == {"held"}

    def test_turns_of_another_run_are_none(self) -> None:
        before, after = (record(*(rounds(f"{run}{n}", 1, 1, 1) for n in range(4))) for run in "ab")
        change = compared(before, after)
        assert change.notes[0].startswith("time undecided: its noise is ±40 % (one round)")

    def test_the_tolerance_is_the_one_given(self) -> None:
        turns = [(rounds(name, 1, 1, 1), rounds(name, 1, 1.15, 1.15)) for name in "abcd"]
        before, after = (record(*side) for side in zip(*turns, strict=True))
        assert compared(before, after).slower
        assert {phase.speed for phase in compared(before, after, tolerance=0.2).phases} == {"held"}

    def test_one_turn_decides_nothing_and_names_the_budget(self) -> None:
        change = compared(record(rounds("a", 1, 1, 1)), record(rounds("a", 9, 9, 9)))
        assert {phase.speed for phase in change.phases} == {"undecided"}
        assert change.notes == (
            "time undecided for encode, all: its noise is a factor of 10 or more after 1 turn; "
            "a larger --budget narrows it",
        )

    @pytest.mark.parametrize(("count", "seconds", "names"), [(1, 0.4, []), (2, 0.4, ["encode", "all"]), (2, 0.04, [])])
    def test_short_phases_need_a_later_round(self, count: int, seconds: float, names: list[str]) -> None:
        side = rounds("a", *[seconds] * count)
        times = TurnTimes([(side, side)], 0.1)
        assert [phase.name for phase in times.phases()] == names
        assert any("the cell takes less than" in limit for limit in times.limits(times.phases())) != bool(names)

    @pytest.mark.parametrize(
        ("later", "names"), [(0.05, ["encode"]), (0.08, ["encode"]), (0.06 * 5, ["encode", "fit"])]
    )
    def test_a_small_part_of_a_cell_is_timed_within_the_whole_only(self, later: float, names: list[str]) -> None:
        def turn(fit: float) -> list[Round]:
            return [Round(5 + fit, (Phase("encode", 5.0), Phase("fit", fit)), 0.004, 0, 0, turn="a")] * 2

        times = TurnTimes([(turn(0.05), turn(later))], 0.1)
        changes = times.phases()
        assert [change.name for change in changes] == [*names, "all"]
        assert changes[-1].after_seconds == 5 + later
        noted = "timed within all only: fit (less than 5 % of the cell, or than 0.05 s)" in times.limits(changes)
        assert noted == ("fit" not in names)

    def test_work_between_the_phases_is_a_phase(self) -> None:
        turns = [(rounds(name, 1, 1), rounds(name, 1, 1, between=0.3)) for name in "abcd"]
        changes = TurnTimes(turns, 0.1).phases()
        assert [(one.name, one.ratio) for one in changes[:1]] == [("encode", 1.0)]
        assert [(one.name, one.speed) for one in changes[1:]] == [("between phases", "slower"), ("all", "slower")]

    def test_the_arithmetic_is_total(self) -> None:
        turns = [(rounds(str(n), 1, early), rounds(str(n), 1, late)) for n, (early, late) in enumerate(EXTREMES)]
        for phase in TurnTimes(turns, 0.1).phases():
            assert math.isfinite(phase.ratio)
            assert math.isfinite(phase.margin)


EXTREMES = [(0.0, 1e300), (1e300, 0.0), (1.0, 1.0), (0.0, 0.0), (5.0, 1e-300)]


@pytest.mark.parametrize(("factor", "wrong"), [(1.0, "slower faster"), (1.15, "held faster")])
def test_on_a_busy_machine_a_change_is_called_what_it_is(factor: float, wrong: str) -> None:
    called = Counter(verdict(LOADS["busy"], seed, factor)[0] for seed in range(12))
    assert not any(called[word] for word in wrong.split())
    # tests/support/busy_machine.py prints the shares over many runs.
    assert called["held" if factor == 1.0 else "slower"] >= 10
