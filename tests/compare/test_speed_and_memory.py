"""Costs: what is slower, what only runs on a slower machine, and what cannot be told; worked by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.speed_and_memory import (
    MACHINE_SPREAD_FACTOR,
    ONE_ROUND_MARGIN,
    OTHER_MACHINE_MARGIN,
    SpeedAndMemoryChange,
    compare_speed_and_memory,
    log_margin,
)
from pytest_sst2.results.record import Phase, Placement, Record, Round
from tests.support.record_factory import ENVIRONMENT, make_record, of_schema_1

MB = 2**20
UNIT = 0.004
BESIDE = Placement("xdist", "here", "gw1", concurrent_workers=1)


def rounds(*seconds: float, unit: float = UNIT, phase: str = "encode", **fields: Any) -> tuple[Round, ...]:
    """Return a round for each of ``seconds``, spent in one phase."""
    cost = {"peak_bytes": 800 * MB, "peak_growth_bytes": 100 * MB, **fields}
    return tuple(Round(each, (Phase(phase, each, 500),), unit, **cost) for each in seconds)


def record(*made: Round, **environment: Any) -> Record:
    return make_record(rounds=made, environment=dataclasses.replace(ENVIRONMENT, **environment))


def compared(before: tuple[Round, ...], after: tuple[Round, ...]) -> SpeedAndMemoryChange:
    return compare_speed_and_memory([record(*before)], [record(*after)])


class TestTime:
    def test_a_machine_twice_as_slow_is_not_a_library_twice_as_slow(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(4.0, 4.0, 4.0, unit=2 * UNIT))
        (encode, overall) = change.phases
        assert (encode.name, encode.before_seconds, encode.after_seconds) == ("encode", 2.0, 4.0)
        assert (encode.ratio, encode.margin, encode.speed) == (1.0, 0.0, "same")
        assert (overall.name, overall.ratio) == ("all", 1.0)
        assert not change.slower
        assert change.notes == ()

    def test_half_as_long_again_on_the_same_machine_is_slower(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(3.0, 3.0, 3.0))
        assert (change.phases[0].ratio, change.phases[0].speed) == (1.5, "slower")
        assert change.slower
        faster = compared(rounds(3.0, 3.0, 3.0), rounds(2.0, 2.0, 2.0))
        assert (faster.phases[0].ratio, faster.phases[0].speed) == (0.6667, "faster")
        assert not faster.slower

    def test_the_same_seconds_on_a_machine_twice_as_fast_are_slower(self) -> None:
        assert compared(rounds(2.0, 2.0), rounds(2.0, 2.0, unit=UNIT / 2)).phases[0].ratio == 2.0

    @pytest.mark.parametrize(
        ("factor", "verdict"), [(1.10, "same"), (1.11, "slower"), (0.91, "same"), (0.90, "faster")]
    )
    def test_a_tenth_is_accepted_however_sure_it_is(self, factor: float, verdict: str) -> None:
        assert compared(rounds(2.0, 2.0), rounds(2 * factor, 2 * factor)).phases[0].speed == verdict

    def test_rounds_that_spread_widen_the_margin_by_welchs_interval(self) -> None:
        # Logarithms 0, 0.1, 0.2 on either side: variance 0.01 each, over 3 rounds 0.003333 each; their sum's root is
        # 0.081650. Equal variances and numbers give 4 degrees of freedom, whose t at 99.5 % is 4.6041:
        # 0.375925 and so ±45.6 %.
        spread = rounds(*(math.exp(each) for each in (0.0, 0.1, 0.2)))
        slower = rounds(*(1.4 * math.exp(each) for each in (0.0, 0.1, 0.2)))
        change = compared(spread, slower).phases[0]
        assert (change.ratio, change.margin, change.speed) == (1.4, pytest.approx(0.4563, abs=1e-4), "same")
        assert compared(spread, rounds(*(1.5 * math.exp(each) for each in (0.0, 0.1, 0.2)))).slower

    def test_the_margin_is_welchs_for_unequal_spreads(self) -> None:
        # Variances 0.0025 / 2 and 0.01 / 3: 0.00125 + 0.003333 = 0.004583, root 0.067700. Degrees of freedom:
        # 0.004583² / (0.00125² / 1 + 0.003333² / 2) = 2.948; t at 99.5 % is about 5.91.
        first, second = np.array([0.0, math.sqrt(0.005)]), np.array([0.0, 0.1, 0.2])
        assert first.var(ddof=1) == pytest.approx(0.0025)
        assert log_margin(first, second) == pytest.approx(5.91 * 0.0677, rel=0.01)

    def test_one_round_says_below_what_it_cannot_tell(self) -> None:
        limit = 1 + ONE_ROUND_MARGIN
        change = compared(rounds(2.0), rounds(2 * limit - 0.02))
        assert (change.phases[0].margin, change.phases[0].speed) == (ONE_ROUND_MARGIN, "same")
        assert change.notes == (f"one round: cannot detect changes of less than ±{100 * ONE_ROUND_MARGIN:.0f} %",)
        assert compared(rounds(2.0), rounds(2 * limit + 0.02)).slower
        assert compared(rounds(2.0, 2.0, 2.0), rounds(2.0)).notes == change.notes

    def test_one_round_beside_many_is_as_uncertain_as_their_spread(self) -> None:
        # 0, 0.2, 0.4: variance 0.04, over 3 rounds 0.013333, root 0.11547; 2 degrees of freedom: t is 9.9248.
        many = np.array([0.0, 0.2, 0.4])
        assert log_margin(many, np.zeros(1)) == pytest.approx(9.9248 * 0.11547, rel=1e-4)
        assert log_margin(np.array([0.0, 1e-6]), np.zeros(1)) == pytest.approx(math.log(1 + ONE_ROUND_MARGIN))

    def test_a_machine_that_was_unsteady_widens_one_round_and_not_many(self) -> None:
        margin = MACHINE_SPREAD_FACTOR * 0.4
        assert margin > ONE_ROUND_MARGIN
        unsteady = compared(rounds(2.0), rounds(2 * margin + 1.98, machine_spread=0.4))
        assert (unsteady.phases[0].margin, unsteady.phases[0].speed) == (margin, "same")
        assert unsteady.notes == (f"one round: cannot detect changes of less than ±{100 * margin:.0f} %",)
        assert compared(rounds(2.0), rounds(2 * margin + 2.02, machine_spread=0.4)).slower
        assert compared(rounds(2.0, 2.0), rounds(3.0, 3.0, machine_spread=0.4)).phases[0].margin == 0.0

    def test_more_processes_are_no_faster_library(self) -> None:
        two = dataclasses.replace(record(*rounds(1.0)), placement=Placement("torchrun", processes=2))
        change = compare_speed_and_memory([record(*rounds(2.0))], [two])
        assert (change.phases, change.notes) == ((), ("times not compared: trained by 2 processes, was 1",))
        assert compare_speed_and_memory([two], [two]).phases

    def test_the_rounds_of_all_seeds_count(self) -> None:
        before = [record(*rounds(2.0)), record(*rounds(2.0))]
        after = [record(*rounds(3.0)), record(*rounds(3.0))]
        change = compare_speed_and_memory(before, after)
        assert (change.phases[0].ratio, change.phases[0].margin, change.notes) == (1.5, 0.0, ())


def phases(**seconds: float) -> tuple[Round, ...]:
    made = tuple(Phase(name, each, 500) for name, each in seconds.items())
    return tuple(Round(sum(seconds.values()), made, UNIT, 800 * MB, 100 * MB) for _ in range(2))


class TestPhases:
    def test_each_phase_is_judged_and_then_their_sum(self) -> None:
        change = compared(phases(encode=2.0, fit=1.0, predict=1.0), phases(encode=4.0, fit=1.0, predict=1.0))
        assert [(each.name, each.ratio, each.speed) for each in change.phases] == [
            ("encode", 2.0, "slower"),
            ("fit", 1.0, "same"),
            ("predict", 1.0, "same"),
            ("all", 1.5, "slower"),
        ]
        assert change.overall == change.phases[-1]

    def test_loading_is_never_judged(self) -> None:
        change = compared(phases(load=1.0, fit=1.0), phases(load=9.0, fit=1.0))
        assert [(each.name, each.ratio) for each in change.phases] == [("fit", 1.0), ("all", 1.0)]

    def test_what_came_from_a_cache_on_either_side_is_not_compared(self) -> None:
        hit = dataclasses.replace(phases(fit=1.0)[0], phases=(Phase("encode", 0.001, cached=True), Phase("fit", 1.0)))
        missed = phases(encode=2.0, fit=1.0)
        for before, after in (((hit, hit), missed), (missed, (hit, hit)), ((missed[0], hit), missed)):
            assert [each.name for each in compared(before, after).phases] == ["fit", "all"]

    def test_a_phase_that_only_one_side_has_is_not_compared(self) -> None:
        change = compared(phases(fit=1.0, tokenize=1.0), phases(fit=1.0, encode=1.0))
        assert [each.name for each in change.phases] == ["fit", "all"]

    def test_what_is_over_in_no_time_is_not_compared(self) -> None:
        assert [each.name for each in compared(phases(fit=0.1, encode=2), phases(fit=0.4, encode=2)).phases] == [
            "encode",
            "all",
        ]
        # But a phase that has become long is.
        assert compared(phases(fit=0.1, encode=2), phases(fit=0.6, encode=2)).phases[0].speed == "slower"

    def test_where_no_phase_is_long_enough_nothing_is_said(self) -> None:
        change = compared(rounds(0.01), rounds(0.02))
        assert (change.phases, change.overall, change.notes, change.slower) == ((), None, (), False)


class TestNotComparable:
    def test_times_taken_beside_other_workers_are_not(self) -> None:
        beside, alone = make_record(rounds=rounds(9.0), placement=BESIDE), record(*rounds(2.0))
        for before, after in ((alone, beside), (beside, alone), (beside, beside)):
            change = compare_speed_and_memory([before], [after])
            assert change.phases == ()
            assert change.notes == ("times not compared: on one side other workers ran on the same cores",)
            assert not change.slower

    def test_times_on_another_device_are_not(self) -> None:
        change = compare_speed_and_memory([record(*rounds(2.0))], [record(*rounds(9.0), device="cuda")])
        assert (change.phases, change.notes) == ((), ("times not compared: device cuda, was cpu",))

    def test_times_of_the_first_schema_are_not(self) -> None:
        change = compare_speed_and_memory([of_schema_1(record(*rounds(2.0)))], [record(*rounds(9.0))])
        assert change.phases == ()
        assert change.notes == (
            "times not compared: one side was saved by a release that did not measure the machine's speed",
        )
        assert change.memory is None

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("cpu_model", "Xeon", "cpu model Xeon, was EPYC"),
            ("cpu_cores", 64, "cpu cores 64, was 2"),
            ("threads", 1, "threads 1, was 2"),
            ("device_name", "L4", "device name L4, was EPYC"),
            ("blas", "mkl", "blas mkl, was openblas"),
        ],
    )
    def test_another_machine_leaves_only_large_differences(self, name: str, value: Any, words: str) -> None:
        before, limit = [record(*rounds(2.0, 2.0))], 2 * (1 + OTHER_MACHINE_MARGIN)
        within = compare_speed_and_memory(before, [record(*rounds(limit - 0.1, limit - 0.1), **{name: value})])
        assert (within.phases[0].margin, within.phases[0].speed) == (OTHER_MACHINE_MARGIN, "same")
        assert within.notes == (
            f"another machine ({words}): cannot detect changes of less than ±{100 * OTHER_MACHINE_MARGIN:.0f} %",
        )
        assert compare_speed_and_memory(before, [record(*rounds(limit + 0.1, limit + 0.1), **{name: value})]).slower

    def test_what_has_no_part_in_speed_is_no_other_machine(self) -> None:
        other = {"python": "3.13.0", "packages": {"torch": "9"}, "variables": {}, "platform": "Linux 9"}
        assert compare_speed_and_memory([record(*rounds(2.0, 2.0))], [record(*rounds(3.0, 3.0), **other)]).slower


def memory(peak: int, grown: int | None, device: int | None = None) -> tuple[Round, ...]:
    return rounds(
        2.0, peak_bytes=peak * MB, peak_growth_bytes=grown and grown * MB, device_peak_bytes=device and device * MB
    )


class TestMemory:
    @pytest.mark.parametrize(
        ("peak", "grown", "heavier"),
        [
            (900, 400, True),
            (865, 400, True),
            (864, 400, False),  # the peak is not even 64 MB higher: earlier cells had paid
            (800, 400, False),
            (900, 300, False),  # what is grown is the same: other company
            (900, 364, False),  # 64 MB more, not more than that
            (900, 365, False),  # not a quarter more
            (900, 375, False),
            (900, 376, True),
        ],
    )
    def test_both_the_peak_and_what_was_grown_have_to_rise(self, peak: int, grown: int, heavier: bool) -> None:
        change = compared(memory(800, 300), memory(peak, grown))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (800 * MB, peak * MB)
        assert change.more_memory is change.memory.is_more is heavier

    def test_less_memory_is_not_heavier(self) -> None:
        change = compared(memory(900, 400), memory(800, 300))
        assert not change.more_memory
        assert change.memory is not None
        assert change.memory.ratio == pytest.approx(8 / 9)

    def test_a_little_of_little_is_no_matter(self) -> None:
        assert not compared(memory(800, 10), memory(860, 70)).more_memory

    def test_on_an_accelerator_its_own_memory_alone_decides(self) -> None:
        change = compared(memory(800, 300, device=1000), memory(8000, 3000, device=1200))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (1000 * MB, 1200 * MB)
        assert not change.more_memory
        assert compared(memory(800, 300, device=1000), memory(800, 300, device=1300)).more_memory

    def test_memory_is_compared_also_where_times_are_not(self) -> None:
        change = compare_speed_and_memory(
            [record(*memory(800, 300))], [make_record(rounds=memory(900, 400), placement=BESIDE)]
        )
        assert (change.phases, change.more_memory) == ((), True)

    def test_what_was_not_measured_is_not_compared(self) -> None:
        assert compared(memory(800, None), memory(900, 400)).memory is None
        # Growth of nothing at all was measured, though.
        assert compared(memory(800, 0), memory(900, 400)).more_memory
