"""Test the comparison of memory with numbers worked by hand."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_sst2.compare.speed_and_memory import compare_speed_and_memory
from pytest_sst2.results.record import Phase, Round
from tests.support.measured_rounds import MB, NEXT_TO_OTHERS, compared, record, rounds
from tests.support.record_factory import make_record


def memory(peak: int, growth: int | None, device: int | None = None) -> tuple[Round, ...]:
    return rounds(
        2.0, peak_bytes=peak * MB, peak_growth_bytes=growth and growth * MB, device_peak_bytes=device and device * MB
    )


class TestMemory:
    @pytest.mark.parametrize(
        ("peak", "growth", "state"),
        [
            (1001, 400, "more"),
            (1000, 400, "held"),  # exactly a quarter more
            (900, 9000, "held"),  # the peak rose by 1.13 times
            (1001, 300, "undecided"),  # the cell needs what it needed: the process held more before it
            (1001, 375, "undecided"),
            (1001, 376, "more"),
        ],
    )
    def test_both_the_peak_and_the_growth_must_rise(self, peak: int, growth: int, state: str) -> None:
        change = compared(memory(800, 300), memory(peak, growth))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (800 * MB, peak * MB)
        assert (change.memory.state, change.more_memory) == (state, state == "more")

    def test_what_the_process_held_before_the_cell_is_a_note(self) -> None:
        note = compared(memory(910, 300), memory(1263, 300)).notes[-1]
        assert note.startswith("memory undecided: the process held 963 MB before the cell, was 610 MB.")

    def test_a_cell_whose_embeddings_came_from_the_cache_is_not_compared(self) -> None:
        hit = tuple(
            dataclasses.replace(made, phases=(Phase("encode", 0.001, cached=True), Phase("fit", 1.0)))
            for made in memory(800, 100)
        )
        for before, after in ((hit, memory(1600, 900)), (memory(1600, 900), hit)):
            change = compared(before, after)
            assert change.memory is None
            assert "memory not compared: a cache answered other phases than before" in change.notes
        assert compared(hit, hit).memory is not None
        # A seed that both sides computed is compared.
        assert compared((*hit, *memory(800, 100)), memory(1600, 900)).more_memory

    def test_less_memory_is_not_more_memory(self) -> None:
        change = compared(memory(900, 400), memory(800, 300))
        assert not change.more_memory
        assert change.memory is not None
        assert change.memory.ratio == pytest.approx(8 / 9)

    def test_a_small_increase_is_not_more_memory(self) -> None:
        assert not compared(memory(100, 10), memory(160, 70)).more_memory

    def test_on_an_accelerator_only_its_own_memory_counts(self) -> None:
        change = compared(memory(800, 300, device=1000), memory(8000, 3000, device=1200))
        assert change.memory is not None
        assert (change.memory.before_bytes, change.memory.after_bytes) == (1000 * MB, 1200 * MB)
        assert not change.more_memory
        assert compared(memory(800, 300, device=1000), memory(800, 300, device=1300)).more_memory

    def test_memory_is_compared_even_if_times_are_not(self) -> None:
        change = compare_speed_and_memory(
            [record(*memory(800, 300))], [make_record(rounds=memory(1100, 400), placement=NEXT_TO_OTHERS)]
        )
        assert (change.phases, change.more_memory) == ((), True)

    def test_unmeasured_memory_is_not_compared(self) -> None:
        assert compared(memory(800, None), memory(1100, 400)).memory is None
        # A growth of 0 bytes was measured.
        assert compared(memory(800, 0), memory(1100, 400)).more_memory
