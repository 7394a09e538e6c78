"""Test the comparison of time with numbers worked by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.cell_times import LATENCY_MARGIN, OTHER_MACHINE_MARGIN
from pytest_sst2.compare.speed_and_memory import compare_speed_and_memory
from pytest_sst2.compare.time_ratio import MACHINE_SPREAD_FACTOR, ONE_ROUND_MARGIN, log_margin
from pytest_sst2.results.record import Latency, Phase, Placement, Record, Round
from tests.support.measured_rounds import MB, NEXT_TO_OTHERS, UNIT, compared, record, rounds
from tests.support.record_factory import ENVIRONMENT, make_record, of_schema_1


class TestTime:
    def test_a_slower_machine_is_not_a_slower_library(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(4.0, 4.0, 4.0, unit=2 * UNIT))
        (encode, overall) = change.phases
        assert (encode.name, encode.before_seconds, encode.after_seconds) == ("encode", 2.0, 4.0)
        # In units nothing changed, in seconds it took twice as long: the two do not agree.
        assert (encode.ratio, encode.margin, encode.speed) == (1.0, 1.0, "undecided")
        assert (overall.name, overall.ratio) == ("all", 1.0)
        assert not change.slower

    def test_times_that_did_not_change_are_held(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(2.0, 2.1, 2.1))
        assert [phase.speed for phase in change.phases] == ["undecided", "undecided"]
        change = compared(rounds(2.0, 2.0, 2.0), rounds(2.04, 2.04, 2.04))
        assert [phase.speed for phase in change.phases] == ["held", "held"]
        assert change.notes == ()

    def test_one_and_a_half_times_as_long_on_the_same_machine_is_slower(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(3.0, 3.0, 3.0))
        assert (change.phases[0].ratio, change.phases[0].speed) == (1.5, "slower")
        assert change.slower
        faster = compared(rounds(3.0, 3.0, 3.0), rounds(2.0, 2.0, 2.0))
        assert (faster.phases[0].ratio, faster.phases[0].speed) == (0.6667, "faster")
        assert not faster.slower

    def test_a_unit_that_doubled_on_the_same_processor_decides_nothing_alone(self) -> None:
        for unit, speed in ((UNIT / 2, "undecided"), (2 * UNIT, "held")):
            change = compared(rounds(2.0, 2.0), rounds(2.0, 2.0, unit=unit))
            assert [phase.speed for phase in change.phases] == [speed, speed]

    @pytest.mark.parametrize(("factor", "speed"), [(1.09, "held"), (1.11, "slower"), (0.92, "held"), (0.90, "faster")])
    def test_ten_percent_are_tolerated_without_noise(self, factor: float, speed: str) -> None:
        assert compared(rounds(2.0, 2.0), rounds(2 * factor, 2 * factor)).phases[0].speed == speed

    def test_rounds_that_spread_widen_the_margin_by_welchs_bound(self) -> None:
        # Logarithms 0, 0.1, 0.2 on either side: variance 0.01 each, over 3 rounds 0.003333 each; their sum's root is
        # 0.081650. Equal variances and numbers give 4 degrees of freedom, whose t at 99 % is 3.7469: 0.305937.
        spread = np.array([0.0, 0.1, 0.2])
        assert log_margin(spread, spread, alpha=0.01) == pytest.approx(0.305937, abs=1e-5)
        # Two times of a cell share the error rate: encode and all.
        margin = math.expm1(log_margin(spread, spread, alpha=0.005))
        before = rounds(*(math.exp(log) for log in spread))
        change = compared(before, rounds(*(1.4 * math.exp(log) for log in spread))).phases[0]
        assert (change.ratio, change.margin, change.speed) == (1.4, pytest.approx(margin, abs=1e-4), "undecided")
        assert compared(before, rounds(*(1.5 * math.exp(log) for log in spread))).slower

    def test_the_margin_is_welchs_for_unequal_spreads(self) -> None:
        # Variances 0.0025 / 2 and 0.01 / 3: 0.00125 + 0.003333 = 0.004583, root 0.067700. Degrees of freedom:
        # 0.004583² / (0.00125² / 1 + 0.003333² / 2) = 2.948; t at 99.5 % is about 5.91.
        first, second = np.array([0.0, math.sqrt(0.005)]), np.array([0.0, 0.1, 0.2])
        assert first.var(ddof=1) == pytest.approx(0.0025)
        assert log_margin(first, second, alpha=0.005) == pytest.approx(5.91 * 0.0677, rel=0.01)

    def test_one_round_is_undecided_and_says_so(self) -> None:
        limit = 1 + ONE_ROUND_MARGIN
        change = compared(rounds(2.0), rounds(2 * limit - 0.02))
        assert (change.phases[0].margin, change.phases[0].speed) == (ONE_ROUND_MARGIN, "undecided")
        noise = f"time undecided: its noise is ±{100 * ONE_ROUND_MARGIN:.0f} % (one round)"
        assert change.notes == (f"{noise}; --sst2-rounds 5 on an idle machine narrows it",)
        assert compared(rounds(2.0), rounds(2 * limit + 0.02)).slower
        assert compared(rounds(2.0, 2.0, 2.0), rounds(2.0)).notes == change.notes

    def test_one_round_against_many_has_the_noise_of_their_spread(self) -> None:
        # 0, 0.2, 0.4: variance 0.04, over 3 rounds 0.013333, root 0.11547; 2 degrees of freedom: t is 9.9248.
        many = np.array([0.0, 0.2, 0.4])
        assert log_margin(many, np.zeros(1), alpha=0.005) == pytest.approx(9.9248 * 0.11547, rel=1e-4)
        almost = log_margin(np.array([0.0, 1e-6]), np.zeros(1), alpha=0.005)
        assert almost == pytest.approx(math.log(1 + ONE_ROUND_MARGIN))

    def test_a_spread_of_the_machine_speed_widens_the_noise_of_one_round_only(self) -> None:
        margin = MACHINE_SPREAD_FACTOR * 0.4
        assert margin > ONE_ROUND_MARGIN
        change = compared(rounds(2.0), rounds(2 * margin + 1.98, machine_spread=0.4))
        assert (change.phases[0].margin, change.phases[0].speed) == (margin, "undecided")
        assert compared(rounds(2.0), rounds(2 * margin + 2.02, machine_spread=0.4)).slower
        assert compared(rounds(2.0, 2.0), rounds(3.0, 3.0, machine_spread=0.4)).phases[0].margin == 0.0

    def test_another_number_of_processes_is_not_compared(self) -> None:
        two = dataclasses.replace(record(*rounds(1.0)), placement=Placement("torchrun", processes=2))
        change = compare_speed_and_memory([record(*rounds(2.0))], [two])
        assert (change.phases, change.notes) == ((), ("times not compared: trained by 2 processes, was 1",))
        assert compare_speed_and_memory([two], [two]).phases

    def test_the_rounds_of_all_seeds_count(self) -> None:
        before = [record(*rounds(2.0)), record(*rounds(2.0))]
        after = [record(*rounds(3.0)), record(*rounds(3.0))]
        change = compare_speed_and_memory(before, after)
        assert (change.phases[0].ratio, change.phases[0].margin, change.notes) == (1.5, 0.0, ())

    def test_other_work_is_not_compared(self) -> None:
        change = compare_speed_and_memory([record(*rounds(2.0))], [record(*rounds(9.0))], other_work="another model")
        assert (change.phases, change.memory) == ((), None)
        assert change.notes == ("times and memory not compared: another model",)

    @pytest.mark.parametrize("after", [(0.0, 0.0, 0.0), (0.0, 5.0, 1e18), (1e18, 1e18, 1e18), (1e-12, 3.0, 1e9)])
    def test_the_arithmetic_is_total(self, after: tuple[float, ...]) -> None:
        for unit in (1e-12, UNIT, 1e18):
            for one, other in ((rounds(3.0, 3.0, 3.0), rounds(*after, unit=unit)), (rounds(*after), rounds(1.0))):
                change = compared(one, other)
                assert all(math.isfinite(time.ratio) and math.isfinite(time.margin) for time in change.times)

    @pytest.mark.parametrize(
        ("before", "after"),
        [((3.0, 0.0), (3.0, 0.0)), ((0.0, 3.0), (3.0, 3.0)), ((3.0,), (0.0,)), ((1e300, 1e-300), (3.0, 0.0))],
    )
    def test_a_round_that_took_no_time_detects_nothing(
        self, before: tuple[float, ...], after: tuple[float, ...]
    ) -> None:
        phases = compared(rounds(*before), rounds(*after)).phases
        assert all(math.isfinite(phase.margin) and phase.speed != "slower" for phase in phases)

    @pytest.mark.parametrize("unit", [0.0, None])
    def test_a_machine_speed_that_took_no_time_is_not_a_unit(self, unit: float) -> None:
        (reason,) = compared(rounds(3.0), rounds(3.0, unit=unit)).notes
        assert reason.startswith("times not compared")


def shared(wall: float, delay: float | None) -> tuple[Round, ...]:
    """Return three rounds of a phase whose threads waited ``delay`` seconds for a core."""
    return tuple(
        Round(wall, (Phase("encode", wall, 500, delay_seconds=delay),), UNIT, 800 * MB, 100 * MB) for _ in range(3)
    )


class TestBusyMachine:
    IDLE = shared(2.0, 0.0)

    def test_a_phase_that_waited_for_a_core_is_not_slower(self) -> None:
        change = compared(self.IDLE, shared(6.0, 8.0))
        assert (change.phases[0].ratio, change.phases[0].speed) == (3.0, "undecided")
        assert "other programs took the cores" in change.notes[0]
        assert compared(shared(6.0, 8.0), self.IDLE).phases[0].speed == "undecided"

    def test_a_phase_that_slept_or_lost_its_threads_is_slower(self) -> None:
        assert compared(self.IDLE, shared(6.0, 0.0)).phases[0].speed == "slower"

    def test_a_phase_that_took_longer_than_it_waited_is_slower(self) -> None:
        # Without the wait of 2 s it took 4 s, which is twice as long.
        change = compared(self.IDLE, shared(6.0, 2.0)).phases[0]
        assert (change.ratio, change.margin, change.speed) == (3.0, 0.5, "slower")

    def test_a_system_that_does_not_count_delays_has_wall_times(self) -> None:
        assert compared(self.IDLE, shared(6.0, None)).phases[0].speed == "slower"


class TestLatency:
    @staticmethod
    def latency(p50: float, delay: float | None = 0.0) -> Record:
        return dataclasses.replace(record(*rounds(2.0)), latency=Latency(p50, 2 * p50, 20, delay))

    def test_one_sentence_that_takes_twenty_times_as_long_is_slower(self) -> None:
        change = compare_speed_and_memory([self.latency(0.0085)], [self.latency(0.173)])
        assert change.latency is not None
        assert (change.latency.name, change.latency.margin) == ("one sentence", LATENCY_MARGIN)
        assert change.slower

    def test_a_change_within_its_noise_is_undecided(self) -> None:
        for after in (0.01, 0.019):
            change = compare_speed_and_memory([self.latency(0.01)], [self.latency(after)])
            assert change.latency is not None
            assert change.latency.speed == "undecided"

    def test_a_sentence_that_waited_for_a_core_is_not_slower(self) -> None:
        change = compare_speed_and_memory([self.latency(0.01)], [self.latency(0.09, 0.16)])
        assert not change.slower

    def test_where_waits_are_not_counted_the_noise_is_larger(self) -> None:
        for after, is_slower in ((0.078, False), (0.081, True)):
            change = compare_speed_and_memory([self.latency(0.01, None)], [self.latency(after, None)])
            assert change.slower is is_slower

    def test_below_five_milliseconds_it_is_not_compared(self) -> None:
        assert compare_speed_and_memory([self.latency(0.0001)], [self.latency(0.004)]).latency is None


def phases(**seconds: float) -> tuple[Round, ...]:
    made = tuple(Phase(name, spent, 500) for name, spent in seconds.items())
    return tuple(Round(sum(seconds.values()), made, UNIT, 800 * MB, 100 * MB) for _ in range(2))


class TestPhases:
    def test_each_phase_and_their_sum_are_compared(self) -> None:
        change = compared(phases(encode=2.0, fit=1.0, predict=1.0), phases(encode=4.0, fit=1.0, predict=1.0))
        assert [(phase.name, phase.ratio, phase.speed) for phase in change.phases] == [
            ("encode", 2.0, "slower"),
            ("fit", 1.0, "held"),
            ("predict", 1.0, "held"),
            ("all", 1.5, "slower"),
        ]
        assert change.overall == change.phases[-1]

    def test_loading_is_ignored(self) -> None:
        change = compared(phases(load=1.0, fit=1.0), phases(load=9.0, fit=1.0))
        assert [(phase.name, phase.ratio) for phase in change.phases] == [("fit", 1.0), ("all", 1.0)]

    def test_phases_cached_on_either_side_are_not_compared(self) -> None:
        hit = dataclasses.replace(phases(fit=1.0)[0], phases=(Phase("encode", 0.001, cached=True), Phase("fit", 1.0)))
        missed = phases(encode=2.0, fit=1.0)
        for before, after in (((hit, hit), missed), (missed, (hit, hit)), ((missed[0], hit), missed)):
            assert [phase.name for phase in compared(before, after).phases] == ["fit", "all"]

    def test_a_phase_that_only_one_side_has_is_not_compared(self) -> None:
        change = compared(phases(fit=1.0, tokenize=1.0), phases(fit=1.0, encode=1.0))
        assert [phase.name for phase in change.phases] == ["fit", "all"]

    def test_short_phases_are_not_compared(self) -> None:
        assert [phase.name for phase in compared(phases(fit=0.1, encode=2), phases(fit=0.4, encode=2)).phases] == [
            "encode",
            "all",
        ]

    def test_a_phase_that_became_long_is_slower_unless_imports_may_explain_it(self) -> None:
        assert compared(phases(fit=0.1), phases(fit=1.0)).phases[0].speed == "undecided"
        assert compared(phases(fit=0.8), phases(fit=0.1)).phases[0].speed == "undecided"
        assert compared(phases(fit=0.1), phases(fit=1.3)).phases[0].speed == "slower"

    def test_without_a_long_phase_nothing_is_compared(self) -> None:
        change = compared(rounds(0.01), rounds(0.02))
        assert (change.phases, change.overall, change.notes, change.slower) == ((), None, (), False)


class TestNotComparable:
    def test_times_next_to_other_workers(self) -> None:
        with_others, alone = make_record(rounds=rounds(9.0), placement=NEXT_TO_OTHERS), record(*rounds(2.0))
        for before, after in ((alone, with_others), (with_others, alone), (with_others, with_others)):
            change = compare_speed_and_memory([before], [after])
            assert change.phases == ()
            assert change.notes == ("times not compared: on one side other workers ran on the same cores",)
            assert not change.slower

    def test_times_on_another_device(self) -> None:
        change = compare_speed_and_memory([record(*rounds(2.0))], [record(*rounds(9.0), device="cuda")])
        assert (change.phases, change.notes) == ((), ("times not compared: device cuda, was cpu",))

    def test_times_of_schema_1(self) -> None:
        change = compare_speed_and_memory([of_schema_1(record(*rounds(2.0)))], [record(*rounds(9.0))])
        assert change.phases == ()
        assert change.notes == (
            "times not compared: one side was saved by a release that did not measure the machine's speed",
        )
        assert change.memory is None

    @pytest.mark.parametrize(
        ("name", "value", "words"),
        [
            ("cpu_model", "Xeon", "another machine (cpu model Xeon, was EPYC)"),
            ("cpu_cores", 64, "another machine (cpu cores 64, was 2)"),
            ("threads", 1, "another machine (threads 1, was 2)"),
            ("device_name", "L4", "another machine (device name L4, was EPYC)"),
            ("blas", "mkl", "other kernels (blas mkl, was openblas)"),
            ("variables", {"OMP_NUM_THREADS": "2", "ANY": "1"}, "other kernels (ANY 1, was not set)"),
        ],
    )
    def test_another_machine_leaves_only_large_differences(self, name: str, value: Any, words: str) -> None:
        before, limit = [record(*rounds(2.0, 2.0))], 2 * (1 + OTHER_MACHINE_MARGIN)
        within = compare_speed_and_memory(before, [record(*rounds(limit - 0.1, limit - 0.1), **{name: value})])
        assert (within.phases[0].margin, within.phases[0].speed) == (OTHER_MACHINE_MARGIN, "undecided")
        assert within.notes == (f"time undecided: its noise is ±{100 * OTHER_MACHINE_MARGIN:.0f} % ({words})",)
        assert compare_speed_and_memory(before, [record(*rounds(limit + 0.1, limit + 0.1), **{name: value})]).slower

    def test_a_unit_of_other_kernels_is_not_used(self) -> None:
        # The fixed work takes five times as long, the cell 1.7 times: in units it would be three times as fast.
        after = record(*rounds(3.4, 3.4, unit=5 * UNIT), variables={"OPENBLAS_CORETYPE": "Nehalem"})
        change = compare_speed_and_memory([record(*rounds(2.0, 2.0))], [after])
        assert (change.phases[0].ratio, change.phases[0].speed) == (1.7, "slower")

    def test_a_unit_of_other_threads_decides_nothing_alone(self) -> None:
        # Pinned to one core, two threads of the fixed work wait for each other: it takes five times as long.
        after = record(*rounds(3.4, 3.4, unit=5 * UNIT), cpu_cores=1)
        change = compare_speed_and_memory([record(*rounds(2.0, 2.0))], [after])
        assert (change.phases[0].ratio, change.phases[0].speed) == (0.34, "undecided")
        # A cell of one thread takes as long on twice as many cores, where the fixed work takes half as long.
        after = record(*rounds(2.0, 2.0, unit=UNIT / 2), cpu_cores=4, threads=4)
        assert not compare_speed_and_memory([record(*rounds(2.0, 2.0))], [after]).slower

    def test_kernels_for_an_older_processor_are_other_kernels_on_the_same_processor_only(self) -> None:
        before = record(*rounds(2.0, 2.0), blas_kernels="openblas SkylakeX")
        after = record(*rounds(4.0, 4.0, unit=2 * UNIT), blas_kernels="openblas Nehalem")
        change = compare_speed_and_memory([before], [after])
        assert (change.phases[0].ratio, change.phases[0].speed) == (2.0, "slower")
        for other in ({"cpu_model": "Xeon", "blas_kernels": "openblas Haswell"}, {"blas_kernels": ""}):
            after = record(*rounds(4.0, 4.0, unit=2 * UNIT), **other)
            assert compare_speed_and_memory([before], [after]).phases[0].ratio == 1.0

    def test_the_order_of_sets_is_no_other_kernel(self) -> None:
        after = record(*rounds(2.0, 2.0), variables={**ENVIRONMENT.variables, "PYTHONHASHSEED": "0"})
        assert compare_speed_and_memory([record(*rounds(2.0, 2.0))], [after]).phases[0].speed == "held"

    def test_another_machine_with_other_kernels_has_no_common_clock(self) -> None:
        after = record(*rounds(9.0, 9.0), cpu_model="Xeon", blas="mkl")
        change = compare_speed_and_memory([record(*rounds(2.0, 2.0))], [after])
        words = "another machine (cpu model Xeon, was EPYC) and other kernels (blas mkl, was openblas)"
        assert (change.phases, change.notes) == ((), (f"times not compared: {words}",))

    def test_other_versions_are_not_another_machine(self) -> None:
        other = {"python": "3.13.0", "packages": {"torch": "9"}, "platform": "Linux 9"}
        assert compare_speed_and_memory([record(*rounds(2.0, 2.0))], [record(*rounds(3.0, 3.0), **other)]).slower
