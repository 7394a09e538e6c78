"""Test the comparison of time and memory with numbers worked by hand."""

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
NEXT_TO_OTHERS = Placement("xdist", "here", "gw1", concurrent_workers=1)


def rounds(*seconds: float, unit: float = UNIT, phase: str = "encode", **fields: Any) -> tuple[Round, ...]:
    """Return one round per value of ``seconds``, all in one phase."""
    memory_fields = {"peak_bytes": 800 * MB, "peak_growth_bytes": 100 * MB, **fields}
    return tuple(Round(spent, (Phase(phase, spent, 500),), unit, **memory_fields) for spent in seconds)


def record(*made: Round, **environment: Any) -> Record:
    return make_record(rounds=made, environment=dataclasses.replace(ENVIRONMENT, **environment))


def compared(before: tuple[Round, ...], after: tuple[Round, ...]) -> SpeedAndMemoryChange:
    return compare_speed_and_memory([record(*before)], [record(*after)])


class TestTime:
    def test_a_slower_machine_is_not_a_slower_library(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(4.0, 4.0, 4.0, unit=2 * UNIT))
        (encode, overall) = change.phases
        assert (encode.name, encode.before_seconds, encode.after_seconds) == ("encode", 2.0, 4.0)
        assert (encode.ratio, encode.margin, encode.speed) == (1.0, 0.0, "same")
        assert (overall.name, overall.ratio) == ("all", 1.0)
        assert not change.slower
        assert change.notes == ()

    def test_one_and_a_half_times_as_long_on_the_same_machine_is_slower(self) -> None:
        change = compared(rounds(2.0, 2.0, 2.0), rounds(3.0, 3.0, 3.0))
        assert (change.phases[0].ratio, change.phases[0].speed) == (1.5, "slower")
        assert change.slower
        faster = compared(rounds(3.0, 3.0, 3.0), rounds(2.0, 2.0, 2.0))
        assert (faster.phases[0].ratio, faster.phases[0].speed) == (0.6667, "faster")
        assert not faster.slower

    def test_the_same_seconds_on_a_machine_twice_as_fast_are_slower(self) -> None:
        assert compared(rounds(2.0, 2.0), rounds(2.0, 2.0, unit=UNIT / 2)).phases[0].ratio == 2.0

    @pytest.mark.parametrize(("factor", "speed"), [(1.10, "same"), (1.11, "slower"), (0.91, "same"), (0.90, "faster")])
    def test_ten_percent_are_tolerated_without_noise(self, factor: float, speed: str) -> None:
        assert compared(rounds(2.0, 2.0), rounds(2 * factor, 2 * factor)).phases[0].speed == speed

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

    def test_rounds_that_spread_widen_the_margin_by_welchs_interval(self) -> None:
        # Logarithms 0, 0.1, 0.2 on either side: variance 0.01 each, over 3 rounds 0.003333 each; their sum's root is
        # 0.081650. Equal variances and numbers give 4 degrees of freedom, whose t at 99.5 % is 4.6041:
        # 0.375925 and so ±45.6 %.
        spread = rounds(*(math.exp(log) for log in (0.0, 0.1, 0.2)))
        slower = rounds(*(1.4 * math.exp(log) for log in (0.0, 0.1, 0.2)))
        change = compared(spread, slower).phases[0]
        assert (change.ratio, change.margin, change.speed) == (1.4, pytest.approx(0.4563, abs=1e-4), "same")
        assert compared(spread, rounds(*(1.5 * math.exp(log) for log in (0.0, 0.1, 0.2)))).slower

    def test_the_margin_is_welchs_for_unequal_spreads(self) -> None:
        # Variances 0.0025 / 2 and 0.01 / 3: 0.00125 + 0.003333 = 0.004583, root 0.067700. Degrees of freedom:
        # 0.004583² / (0.00125² / 1 + 0.003333² / 2) = 2.948; t at 99.5 % is about 5.91.
        first, second = np.array([0.0, math.sqrt(0.005)]), np.array([0.0, 0.1, 0.2])
        assert first.var(ddof=1) == pytest.approx(0.0025)
        assert log_margin(first, second) == pytest.approx(5.91 * 0.0677, rel=0.01)

    def test_one_round_notes_what_it_cannot_detect(self) -> None:
        limit = 1 + ONE_ROUND_MARGIN
        change = compared(rounds(2.0), rounds(2 * limit - 0.02))
        assert (change.phases[0].margin, change.phases[0].speed) == (ONE_ROUND_MARGIN, "same")
        assert change.notes == (
            f"measured in one round, so changes of less than ±{100 * ONE_ROUND_MARGIN:.0f} % cannot be detected",
        )
        assert compared(rounds(2.0), rounds(2 * limit + 0.02)).slower
        assert compared(rounds(2.0, 2.0, 2.0), rounds(2.0)).notes == change.notes

    def test_one_round_against_many_has_the_noise_of_their_spread(self) -> None:
        # 0, 0.2, 0.4: variance 0.04, over 3 rounds 0.013333, root 0.11547; 2 degrees of freedom: t is 9.9248.
        many = np.array([0.0, 0.2, 0.4])
        assert log_margin(many, np.zeros(1)) == pytest.approx(9.9248 * 0.11547, rel=1e-4)
        assert log_margin(np.array([0.0, 1e-6]), np.zeros(1)) == pytest.approx(math.log(1 + ONE_ROUND_MARGIN))

    def test_a_spread_of_the_machine_speed_widens_the_noise_of_one_round_only(self) -> None:
        margin = MACHINE_SPREAD_FACTOR * 0.4
        assert margin > ONE_ROUND_MARGIN
        change = compared(rounds(2.0), rounds(2 * margin + 1.98, machine_spread=0.4))
        assert (change.phases[0].margin, change.phases[0].speed) == (margin, "same")
        assert change.notes == (
            f"measured in one round, so changes of less than ±{100 * margin:.0f} % cannot be detected",
        )
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


def phases(**seconds: float) -> tuple[Round, ...]:
    made = tuple(Phase(name, spent, 500) for name, spent in seconds.items())
    return tuple(Round(sum(seconds.values()), made, UNIT, 800 * MB, 100 * MB) for _ in range(2))


class TestPhases:
    def test_each_phase_and_their_sum_are_compared(self) -> None:
        change = compared(phases(encode=2.0, fit=1.0, predict=1.0), phases(encode=4.0, fit=1.0, predict=1.0))
        assert [(phase.name, phase.ratio, phase.speed) for phase in change.phases] == [
            ("encode", 2.0, "slower"),
            ("fit", 1.0, "same"),
            ("predict", 1.0, "same"),
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
        # A phase that became long is compared.
        assert compared(phases(fit=0.1, encode=2), phases(fit=0.6, encode=2)).phases[0].speed == "slower"

    def test_without_a_long_phase_nothing_is_compared(self) -> None:
        change = compared(rounds(0.01), rounds(0.02))
        assert (change.phases, change.overall, change.notes, change.slower) == ((), None, (), False)


class TestNotComparable:
    def test_times_next_to_other_workers(self) -> None:
        beside, alone = make_record(rounds=rounds(9.0), placement=NEXT_TO_OTHERS), record(*rounds(2.0))
        for before, after in ((alone, beside), (beside, alone), (beside, beside)):
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
            f"measured on another machine ({words}), so changes of less than ±{100 * OTHER_MACHINE_MARGIN:.0f} % "
            "cannot be detected",
        )
        assert compare_speed_and_memory(before, [record(*rounds(limit + 0.1, limit + 0.1), **{name: value})]).slower

    def test_other_versions_and_variables_are_not_another_machine(self) -> None:
        other = {"python": "3.13.0", "packages": {"torch": "9"}, "variables": {}, "platform": "Linux 9"}
        assert compare_speed_and_memory([record(*rounds(2.0, 2.0))], [record(*rounds(3.0, 3.0), **other)]).slower


def memory(peak: int, growth: int | None, device: int | None = None) -> tuple[Round, ...]:
    return rounds(
        2.0, peak_bytes=peak * MB, peak_growth_bytes=growth and growth * MB, device_peak_bytes=device and device * MB
    )


class TestMemory:
    @pytest.mark.parametrize(
        ("peak", "growth", "more_memory"),
        [
            (900, 400, True),
            (865, 400, True),
            (864, 400, False),  # the peak rose by less than 64 MB
            (800, 400, False),
            (900, 300, False),  # the growth is the same
            (900, 364, False),  # exactly 64 MB more
            (900, 365, False),  # less than a quarter more
            (900, 375, False),
            (900, 376, True),
        ],
    )
    def test_both_the_peak_and_the_growth_must_rise(self, peak: int, growth: int, more_memory: bool) -> None:
        change = compared(memory(800, 300), memory(peak, growth))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (800 * MB, peak * MB)
        assert change.more_memory is change.memory.is_more is more_memory

    def test_less_memory_is_not_more_memory(self) -> None:
        change = compared(memory(900, 400), memory(800, 300))
        assert not change.more_memory
        assert change.memory is not None
        assert change.memory.ratio == pytest.approx(8 / 9)

    def test_a_small_increase_is_not_more_memory(self) -> None:
        assert not compared(memory(800, 10), memory(860, 70)).more_memory

    def test_on_an_accelerator_only_its_own_memory_counts(self) -> None:
        change = compared(memory(800, 300, device=1000), memory(8000, 3000, device=1200))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (1000 * MB, 1200 * MB)
        assert not change.more_memory
        assert compared(memory(800, 300, device=1000), memory(800, 300, device=1300)).more_memory

    def test_memory_is_compared_even_if_times_are_not(self) -> None:
        change = compare_speed_and_memory(
            [record(*memory(800, 300))], [make_record(rounds=memory(900, 400), placement=NEXT_TO_OTHERS)]
        )
        assert (change.phases, change.more_memory) == ((), True)

    def test_unmeasured_memory_is_not_compared(self) -> None:
        assert compared(memory(800, None), memory(900, 400)).memory is None
        # A growth of 0 bytes was measured.
        assert compared(memory(800, 0), memory(900, 400)).more_memory
