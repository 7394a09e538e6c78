"""The worst symptom of an upgrade, its summary, and whether a benchmark run reproduces it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.cell_times import PhaseTimeChange
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.peak_memory import PeakMemoryChange
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.symptom import Symptom, outcome_of, summary_of, worst_symptom
from tests.support.record_factory import probe, with_fingerprint

RIGHT = probe([True] * 400)
WRONG = probe([index >= 30 for index in range(400)])
CELL = ("minilm", "linear-probe")
MEMORY_FULL = Failure("minilm-linear-probe-seed42", *CELL, 42, "out of memory at 0x7f31, 12 GB asked for")
PHASES = (PhaseTimeChange("encode", 1.0, 1.5, 1.5, 0.3, "slower"), PhaseTimeChange("fit", 1.0, 3.0, 3.0, 0.3, "slower"))
SLOWER = SpeedAndMemoryChange(PHASES, None, ())
HEAVIER = SpeedAndMemoryChange((), PeakMemoryChange(100, 250, "more"), ())


def with_seconds(factor: float) -> Record:
    """Return the probe with times that are ``factor`` times as long."""
    rounds = tuple(
        dataclasses.replace(
            one,
            seconds=one.seconds * factor,
            phases=tuple(dataclasses.replace(phase, seconds=phase.seconds * factor) for phase in one.phases),
        )
        for one in RIGHT.rounds
    )
    return dataclasses.replace(RIGHT, rounds=rounds)


def with_settings(**settings: object) -> Record:
    """Return the probe with other settings, one answer differs."""
    return dataclasses.replace(probe([index > 0 for index in range(400)]), settings={**RIGHT.settings, **settings})


def cell(verdict: str = "held", model: str = "minilm", **changes: object) -> CellComparison:
    return CellComparison(model, "linear-probe", (42,), verdict, **changes)  # type: ignore[arg-type]


def worst(*cells: CellComparison, before: Sequence[Record] = (RIGHT,), failures: Sequence[Failure] = ()) -> Symptom:
    comparison = Comparison("before", "after", "", TOLERANCE, ALPHA, cells, (), (), ())
    symptom = worst_symptom(Results(before, []), Results((), failures), comparison)
    assert symptom is not None
    return symptom


class TestFinding:
    @pytest.mark.parametrize(
        ("changed", "kind", "summary"),
        [
            (
                cell(causes=(Cause("C 2, was 1", "settings"), Cause("predictions differ", "predictions"))),
                "drifted",
                "C 2, was 1",
            ),
            (cell(speed_and_memory=SLOWER), "slower", "fit takes 3.00 × as long"),
            (cell(speed_and_memory=HEAVIER), "more-memory", "peak memory 2.50 ×"),
        ],
    )
    def test_the_summary_is_a_clause(self, changed: CellComparison, kind: str, summary: str) -> None:
        symptom = worst(changed)
        assert (symptom.kind, symptom.cell, symptom.summary) == (kind, CELL, summary)
        assert symptom.name == "minilm × linear-probe"
        assert symptom.records == (RIGHT,)
        assert symptom.needs_passes is (kind in ("slower", "more-memory"))

    def test_the_worst_comes_first_whatever_the_order_of_the_cells(self) -> None:
        other = dataclasses.replace(RIGHT, model="albert")
        slower, drifted = cell(speed_and_memory=SLOWER), cell(model="albert", causes=(Cause("C 2, was 1", "settings"),))
        assert worst(slower, drifted, before=(RIGHT, other)).kind == "drifted"
        assert worst(slower, drifted, before=(RIGHT, other), failures=[MEMORY_FULL]).kind == "crash"

    def test_a_drift_is_about_what_changed_code_did_if_that_was_measured(self) -> None:
        code, answers = Cause("the method's own code changed", "settings", "code"), Cause("14 differ", "predictions")
        assert worst(cell(causes=(code, answers))).cause == answers
        assert worst(cell(causes=(code,))).cause == code

    def test_without_any_there_is_none(self) -> None:
        comparison = Comparison("before", "after", "", TOLERANCE, ALPHA, (cell(),), (), (), ())
        assert worst_symptom(Results([RIGHT], []), Results([RIGHT], []), comparison) is None


def outcome(symptom: Symptom, records: Sequence[Record] = (), failures: Sequence[Failure] = ()) -> Outcome:
    return outcome_of(symptom, Results(records, failures), tolerance=TOLERANCE, alpha=ALPHA)


class TestOutcome:
    REGRESSED = Symptom("regressed", CELL, "accuracy 1.0000 → 0.9250", (RIGHT,), (WRONG,))
    CRASH = Symptom("crash", CELL, MEMORY_FULL.error, (RIGHT,))

    def test_a_drop_is_shown_by_a_drop(self) -> None:
        assert outcome(self.REGRESSED, [WRONG]) is Outcome.BAD
        assert outcome(self.REGRESSED, [RIGHT]) is Outcome.GOOD

    def test_a_small_drop_is_good_only_if_the_later_environment_is_worse(self) -> None:
        slightly, nearly = (probe([index >= lost for index in range(400)]) for lost in (4, 26))
        assert outcome(self.REGRESSED, [slightly]) is Outcome.GOOD
        without = dataclasses.replace(self.REGRESSED, later_records=(slightly,))
        assert outcome(without, [slightly]) is Outcome.UNDECIDED
        assert outcome(without, [nearly]) is Outcome.BAD

    def test_a_time_is_good_only_if_it_is_shown_not_to_be_slower(self) -> None:
        slower = Symptom("slower", CELL, "fit takes 3.00 × as long", (RIGHT,), (with_seconds(12.0),))
        assert outcome(slower, [with_seconds(13.0)]) is Outcome.BAD
        assert outcome(slower, [RIGHT]) is Outcome.GOOD
        one_round = dataclasses.replace(slower, later_records=(with_seconds(1.4),))
        assert outcome(one_round, [with_seconds(1.2)]) is Outcome.UNDECIDED

    def test_a_drift_of_another_step_or_setting_is_another_symptom(self) -> None:
        c, solver, code = (with_settings(C=2.0), with_settings(solver="liblinear"), with_settings(code="1", C=2.0))
        changed = Symptom("drifted", CELL, "C 2.0, was 1.0", (RIGHT,), (c,), Cause("C 2.0", "settings", "C"))
        assert outcome(changed, [c]) is Outcome.BAD
        assert outcome(changed, [code]) is Outcome.BAD
        assert outcome(changed, [solver]) is Outcome.GOOD
        assert summary_of(changed, Results([code], []), tolerance=TOLERANCE, alpha=ALPHA) == "C 2, was 1"
        assert summary_of(changed, Results([solver], []), tolerance=TOLERANCE, alpha=ALPHA) == ""

    def test_a_cell_without_a_record_is_untestable(self) -> None:
        assert outcome(self.REGRESSED, [], [MEMORY_FULL]) is Outcome.UNTESTABLE
        assert outcome(self.REGRESSED, [dataclasses.replace(WRONG, model="albert")]) is Outcome.UNTESTABLE

    def test_an_incomparable_cell_is_untestable(self) -> None:
        elsewhere = with_fingerprint(WRONG, evaluation={"sentences": "9" * 16})
        assert outcome(self.REGRESSED, [elsewhere]) is Outcome.UNTESTABLE

    def test_a_crash_is_known_by_its_words_whatever_the_numbers(self) -> None:
        again = dataclasses.replace(MEMORY_FULL, error="out of memory at 0x8a02, 9 GB asked for")
        assert outcome(self.CRASH, [], [again]) is Outcome.BAD
        assert outcome(self.CRASH, [], [dataclasses.replace(MEMORY_FULL, error="no such file")]) is Outcome.UNTESTABLE
        assert outcome(self.CRASH, [RIGHT]) is Outcome.GOOD
        assert outcome(self.CRASH) is Outcome.UNTESTABLE

    def test_if_nothing_ran_before_any_run_is_good(self) -> None:
        everywhere = Symptom("crash", None, "ImportError", ())
        assert everywhere.name == "every cell"
        assert outcome(everywhere, [RIGHT]) is Outcome.GOOD
