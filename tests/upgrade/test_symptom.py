"""The symptom of an upgrade: the worst there is, in words, and whether a set of changes shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from pytest_sst2.compare.comparison import CellComparison, Comparison
from pytest_sst2.compare.speed_and_memory import CostChange, MemoryChange, PhaseChange
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade.minimize import Answer
from pytest_sst2.upgrade.symptom import Symptom, answer_of, symptom_of
from tests.support.record_factory import answered

RIGHT = answered([True] * 400)
WRONG = answered([index >= 30 for index in range(400)])
CELL = ("minilm", "linear-probe")
MEMORY_FULL = Failure("minilm-linear-probe-seed42", *CELL, 42, "out of memory at 0x7f31, 12 GB asked for")
PHASES = (PhaseChange("encode", 1.0, 1.5, 1.5, 0.3, "slower"), PhaseChange("fit", 1.0, 3.0, 3.0, 0.3, "slower"))
SLOWER = CostChange(PHASES, None, ())
HEAVIER = CostChange((), MemoryChange(100, 250, heavier=True), ())


def cell(verdict: str = "unchanged", model: str = "minilm", **changes: object) -> CellComparison:
    return CellComparison(model, "linear-probe", (42,), verdict, **changes)  # type: ignore[arg-type]


def found(*cells: CellComparison, before: Sequence[Record] = (RIGHT,), failures: Sequence[Failure] = ()) -> Symptom:
    comparison = Comparison("before", "after", "", TOLERANCE, ALPHA, cells, (), (), ())
    symptom = symptom_of(Results(before, []), Results((), failures), comparison)
    assert symptom is not None
    return symptom


class TestFinding:
    @pytest.mark.parametrize(
        ("shown", "kind", "said"),
        [
            (cell(causes=("C 2, was 1", "predictions differ")), "drifted", "C 2, was 1"),
            (cell(costs=SLOWER), "slower", "fit takes 3.00 × as long"),
            (cell(costs=HEAVIER), "more-memory", "peak memory 2.50 ×"),
        ],
    )
    def test_it_is_told_in_a_clause(self, shown: CellComparison, kind: str, said: str) -> None:
        symptom = found(shown)
        assert (symptom.kind, symptom.cell, symptom.said, symptom.name) == (kind, CELL, said, "minilm × linear-probe")
        assert symptom.records == (RIGHT,)
        assert symptom.is_of_costs is (kind in ("slower", "more-memory"))

    def test_the_worst_goes_before_what_is_less_bad_whatever_the_order_of_the_cells(self) -> None:
        other = dataclasses.replace(RIGHT, model="albert")
        slower, drifted = cell(costs=SLOWER), cell(model="albert", causes=("C 2, was 1",))
        assert found(slower, drifted, before=(RIGHT, other)).kind == "drifted"
        assert found(slower, drifted, before=(RIGHT, other), failures=[MEMORY_FULL]).kind == "crash"

    def test_without_any_there_is_none(self) -> None:
        comparison = Comparison("before", "after", "", TOLERANCE, ALPHA, (cell(),), (), (), ())
        assert symptom_of(Results([RIGHT], []), Results([RIGHT], []), comparison) is None


def answer(symptom: Symptom, records: Sequence[Record] = (), failures: Sequence[Failure] = ()) -> Answer:
    return answer_of(symptom, Results(records, failures), tolerance=TOLERANCE, alpha=ALPHA)


class TestAnswering:
    REGRESSED = Symptom("regressed", CELL, "accuracy 1.0000 → 0.9250", (RIGHT,))
    CRASH = Symptom("crash", CELL, MEMORY_FULL.error, (RIGHT,))

    def test_a_drop_is_shown_by_a_drop(self) -> None:
        assert answer(self.REGRESSED, [WRONG]) is Answer.SHOWS
        assert answer(self.REGRESSED, [RIGHT]) is Answer.HOLDS

    def test_a_cell_without_a_number_says_nothing_of_a_drop(self) -> None:
        assert answer(self.REGRESSED, [], [MEMORY_FULL]) is Answer.UNKNOWN
        assert answer(self.REGRESSED, [dataclasses.replace(WRONG, model="albert")]) is Answer.UNKNOWN

    def test_nor_does_one_that_cannot_be_compared(self) -> None:
        elsewhere = dataclasses.replace(WRONG, dataset=dataclasses.replace(WRONG.dataset, name="pocket"))
        assert answer(self.REGRESSED, [elsewhere]) is Answer.UNKNOWN

    def test_a_crash_is_known_by_its_words_whatever_the_numbers(self) -> None:
        again = dataclasses.replace(MEMORY_FULL, error="out of memory at 0x8a02, 9 GB asked for")
        assert answer(self.CRASH, [], [again]) is Answer.SHOWS
        assert answer(self.CRASH, [], [dataclasses.replace(MEMORY_FULL, error="no such file")]) is Answer.UNKNOWN
        assert answer(self.CRASH, [RIGHT]) is Answer.HOLDS
        assert answer(self.CRASH) is Answer.UNKNOWN

    def test_where_nothing_ran_at_all_anything_that_runs_is_an_answer(self) -> None:
        everywhere = Symptom("crash", None, "ImportError", ())
        assert everywhere.name == "every cell"
        assert answer(everywhere, [RIGHT]) is Answer.HOLDS
