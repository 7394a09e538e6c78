"""Test which records are compared, their verdicts and notes, and the exit status."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.cell_times import PhaseTimeChange
from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.peak_memory import PeakMemoryChange
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.config.options import ALPHA, FAIL_ON, TOLERANCE
from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.environment_diff import EnvironmentChange
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import Failure, Record
from tests.support.record_factory import ENVIRONMENT, FINGERPRINT, answered, of_schema_1, probe, with_fingerprint

TOTAL = 400


def right(*wrong: int, total: int = TOTAL) -> list[bool]:
    """Return whether each sentence is right: all except the given ones."""
    return [index not in wrong for index in range(total)]


def results(*records: Record, failures: Sequence[Failure] = (), origin: str = "main") -> Results:
    return Results(records, failures, "2026-08-01T12:00:00+00:00", origin)


def compared(before: Sequence[Record], after: Sequence[Record], failures: Sequence[Failure] = ()) -> Comparison:
    return compare(
        results(*before), results(*after, failures=failures, origin="this run"), tolerance=TOLERANCE, alpha=ALPHA
    )


def only_cell(before: Sequence[Record], after: Sequence[Record]) -> CellComparison:
    (cell,) = compared(before, after).cells
    return cell


WHOLE = probe(right())
# Eight losses and no gain: p is 1 / 2⁸ = 0.0039, and two points are lost.
EIGHT_LOST = probe(right(*range(8)))


class TestOneSeed:
    def test_equal_predictions_are_identical_with_p_one(self) -> None:
        cell = only_cell([EIGHT_LOST], [EIGHT_LOST])
        assert (cell.name, cell.seeds) == ("minilm × linear-probe", (42,))
        assert (cell.verdict, cell.adjusted_p) == ("identical", 1.0)
        assert cell.accuracy is not None
        assert (cell.accuracy.before, cell.accuracy.after, cell.accuracy.delta) == (0.98, 0.98, 0.0)
        assert (cell.flags, cell.reasons, cell.causes) == (frozenset(), (), ())

    def test_eight_losses_in_four_hundred_are_a_regression_and_the_reverse_an_improvement(self) -> None:
        worse, better = only_cell([WHOLE], [EIGHT_LOST]), only_cell([EIGHT_LOST], [WHOLE])
        assert (worse.verdict, better.verdict) == ("regressed", "improved")
        assert worse.accuracy is not None
        assert (worse.accuracy.losses, worse.accuracy.gains, worse.accuracy.delta) == (8, 0, -0.02)
        assert worse.adjusted_p == pytest.approx(1 / 2**8)
        assert (worse.flags, better.flags) == ({"regressed"}, frozenset())

    def test_a_drop_within_the_tolerance_holds_if_the_bound_does(self) -> None:
        lost = probe(right(*range(20)))
        verdicts = [
            compare(results(WHOLE), results(lost), tolerance=tolerance, alpha=ALPHA).cells[0].verdict
            for tolerance in (0.09, 0.05, 0.049)
        ]
        assert verdicts == ["held", "undecided", "regressed"]

    def test_the_tolerance_of_a_floor_replaces_that_of_the_run(self) -> None:
        lost = dataclasses.replace(probe(right(*range(20))), floor=Floor(0.7, "by hand", tolerance=0.09))
        cell = only_cell([WHOLE], [lost])
        assert (cell.verdict, cell.tolerance) == ("held", 0.09)

    def test_a_single_training_is_judged_with_the_spread_between_trainings(self) -> None:
        before, after = answered(right()), answered(right(*range(8)))
        cell = only_cell([before], [after])
        assert cell.verdict == "undecided"
        assert cell.notes == ("the bounds use an assumed spread of 2.5 points between trainings",)
        calibrated = dataclasses.replace(after, floor=Floor(0.7, "by hand", sd=0.001, seeds=5))
        assert only_cell([before], [calibrated]).verdict == "regressed"

    def test_a_training_that_took_the_same_course_is_not_random(self) -> None:
        before, after = (
            with_fingerprint(answered(answers), training={"weights": "abcd"}) for answers in (right(), right(*range(8)))
        )
        assert only_cell([before], [after]).verdict == "regressed"

    def test_probabilities_that_moved_are_not_identical(self) -> None:
        moved = tuple(probability + 0.01 for probability in WHOLE.probabilities)
        rounded = tuple(probability + 0.0001 for probability in WHOLE.probabilities)
        assert only_cell([WHOLE], [dataclasses.replace(WHOLE, probabilities=rounded)]).verdict == "identical"
        assert only_cell([WHOLE], [dataclasses.replace(WHOLE, probabilities=moved)]).verdict == "undecided"
        gpu = dataclasses.replace(WHOLE, environment=dataclasses.replace(ENVIRONMENT, device="cuda"))
        assert only_cell([gpu], [dataclasses.replace(gpu, probabilities=rounded)]).verdict == "undecided"

    def test_a_setting_that_changed_is_the_cause_and_the_cell_drifted(self) -> None:
        cell = only_cell([WHOLE], [dataclasses.replace(WHOLE, settings={**WHOLE.settings, "C": 2.0})])
        assert tuple(map(str, cell.causes)) == ("C 2, was 1",)
        assert "drifted" in cell.flags or cell.causes[0].is_note

    def test_three_times_the_seconds_are_slower(self) -> None:
        phases = tuple(dataclasses.replace(phase, seconds=3 * phase.seconds) for phase in WHOLE.rounds[0].phases)
        slow = dataclasses.replace(WHOLE.rounds[0], seconds=9.75, phases=phases)
        before, after = (dataclasses.replace(WHOLE, rounds=(measured,)) for measured in (WHOLE.rounds[0], slow))
        cell = only_cell([before], [after])
        assert (cell.verdict, cell.flags) == ("identical", {"slower"})
        assert only_cell([before], [before]).flags == frozenset()

    def test_a_single_sentence_decides_nothing(self) -> None:
        cell = only_cell([probe([True])], [probe([False])])
        assert (cell.verdict, cell.adjusted_p) == ("undecided", 1.0)

    def test_another_number_of_rows_is_one_reason(self) -> None:
        after = answered(right(total=30))
        assert after.fingerprint is not None
        evaluation = dataclasses.replace(after.fingerprint.evaluation, sentences="ffff")
        after = dataclasses.replace(after, fingerprint=dataclasses.replace(after.fingerprint, evaluation=evaluation))
        cell = only_cell([answered(right(total=20))], [after])
        assert (cell.verdict, cell.reasons) == (
            "incomparable",
            ("evaluation sentences: 30 rows, 30 distinct, were 20 rows, 20 distinct",),
        )

    def test_a_record_of_the_first_schema_borrows_the_labels_of_the_other(self) -> None:
        whole, lost = (dataclasses.replace(record, epochs=()) for record in (WHOLE, EIGHT_LOST))
        for before, after in ((of_schema_1(whole), lost), (whole, of_schema_1(lost))):
            cell = only_cell([before], [after])
            assert (cell.verdict, cell.causes) == ("regressed", ())
            assert cell.accuracy is not None
            assert (cell.accuracy.before, cell.accuracy.after) == (1.0, 0.98)


class TestSeveralCells:
    def test_cells_that_cannot_be_called_regressed_do_not_count(self) -> None:
        still = probe(right(), model="albert")
        (first, _) = compared([WHOLE, still], [EIGHT_LOST, still]).cells
        assert (first.verdict, first.adjusted_p) == ("regressed", pytest.approx(1 / 2**8))

    def test_probes_of_one_embedding_count_once_and_other_cells_each(self) -> None:
        def pair(**changes: Any) -> tuple[list[Record], list[Record]]:
            flipped = [*range(10), *range(20, 30)]
            other = probe(right(*flipped[:10]), **changes), probe(right(*flipped[10:]), **changes)
            return [WHOLE, other[0]], [probe(right(*range(9))), other[1]]

        same, others = pair(method="torch-probe"), pair(model="albert")
        assert compared(*same).cells[0].adjusted_p == pytest.approx(2 / 2**9)  # its own group, of which one fell
        assert compared(*others).cells[0].adjusted_p == pytest.approx(2 / 2**9)
        both = (
            [WHOLE, probe(right(), method="torch-probe")],
            [EIGHT_LOST, probe(right(*range(8)), method="torch-probe")],
        )
        assert [cell.adjusted_p for cell in compared(*both).cells] == pytest.approx([1 / 2**8] * 2)

    def test_an_incomparable_cell_does_not_count(self) -> None:
        other = probe(right(), model="albert")
        split = dataclasses.replace(other, dataset=dataclasses.replace(other.dataset, split="heldout"))
        first, second = compared([WHOLE, other], [EIGHT_LOST, split]).cells
        assert (first.verdict, first.adjusted_p) == ("regressed", pytest.approx(1 / 2**8))
        assert (second.verdict, second.reasons) == ("incomparable", ("evaluation split heldout, was validation",))
        assert (second.accuracy, second.adjusted_p, second.speed_and_memory) == (None, None, None)

    @pytest.mark.parametrize(
        ("sizes", "reason"),
        [
            ((20, 30), "its seeds were evaluated on different numbers of rows: 20, 30"),
            ((1, 1), "one evaluation row: several seeds cannot be compared on it"),
        ],
    )
    def test_seeds_with_different_or_single_rows_are_incomparable(self, sizes: tuple[int, int], reason: str) -> None:
        records = [answered([True] * size, seed=seed) for seed, size in enumerate(sizes)]
        for later in (records, [dataclasses.replace(record, seed=record.seed + 5) for record in records]):
            (cell,) = compared(records, later).cells
            assert (cell.verdict, cell.reasons) == ("incomparable", (reason,))

    def test_cells_are_in_the_order_of_this_run_and_those_of_one_side_are_named(self) -> None:
        before = [WHOLE, answered(right(), model="albert"), answered(right(), model=None, method="majority")]
        after = [answered(right(), model="mpnet"), answered(right(), model=None, method="majority"), WHOLE]
        comparison = compared(before, after)
        assert [cell.name for cell in comparison.cells] == ["majority", "minilm × linear-probe"]
        assert comparison.only_before == ("albert × linear-probe",)
        assert comparison.only_after == ("mpnet × linear-probe",)
        assert (comparison.before, comparison.after, comparison.saved) == (
            "main",
            "this run",
            "2026-08-01T12:00:00+00:00",
        )
        assert (comparison.tolerance, comparison.alpha) == (TOLERANCE, ALPHA)

    def test_a_failed_cell_is_incomparable_with_its_reason_also_where_other_seeds_were_measured(self) -> None:
        failure = Failure("minilm-linear-probe-seed7", "minilm", "linear-probe", 7, "out of memory")
        for measured in ([], [WHOLE]):
            (cell,) = compared([WHOLE], measured, [failure]).cells
            assert (cell.verdict, cell.seeds) == ("incomparable", (7,))
            assert cell.reasons == ("no number this time: out of memory",)
            assert cell.flags == {"incomparable"}

    def test_a_failure_of_a_cell_that_the_baseline_lacks_is_not_compared(self) -> None:
        failure = Failure("albert-linear-probe-seed42", "albert", "linear-probe", 42, "out of memory")
        assert [cell.name for cell in compared([WHOLE], [WHOLE], [failure]).cells] == ["minilm × linear-probe"]

    def test_two_sides_without_a_common_cell_cannot_be_compared(self) -> None:
        comparison = compared([WHOLE], [answered(right(), model="albert")])
        assert (comparison.cells, comparison.exit_status(()), comparison.exit_status(FAIL_ON)) == ((), 2, 2)
        assert compared([WHOLE], []).exit_status(()) == 2


def seeds(*numbers: int, lost: int = 0, **changes: Any) -> list[Record]:
    """Return one record per seed with ten wrong sentences, and ``lost`` more that differ by seed."""
    return [
        answered(right(*range(10), *range(20 + number, 20 + number + lost)), seed=number, **changes)
        for number in numbers
    ]


class TestSeveralSeeds:
    def test_seeds_of_both_sides_are_paired(self) -> None:
        cell = only_cell(seeds(1, 2, 3, 4, 5, 6), seeds(5, 4, 3, 2, 1, lost=40))
        assert (cell.verdict, cell.seeds) == ("regressed", (5, 4, 3, 2, 1))
        assert cell.accuracy is not None
        assert cell.accuracy.test == "seeds and sentences random, unpaired seeds"
        assert (cell.accuracy.seeds, cell.accuracy.before, cell.accuracy.delta) == (5, 0.975, -0.1)

    def test_seeds_without_a_common_one_are_independent_draws(self) -> None:
        cell = only_cell(seeds(1, 2, 3, 4, 5), seeds(6, 7, 8, 9, 10, 11, lost=40))
        assert (cell.verdict, cell.seeds) == ("regressed", (6, 7, 8, 9, 10, 11))
        assert cell.accuracy is not None
        assert cell.accuracy.test == "seeds and sentences random, unpaired seeds"
        assert (cell.accuracy.seeds, cell.causes) == (5, ())

    def test_draws_may_differ_in_training_rows_and_settings_with_the_seed(self) -> None:
        train = dataclasses.replace(FINGERPRINT.train, sentences="ffff", order="ffff")
        fingerprint = dataclasses.replace(seeds(1)[0].fingerprint, train=train)
        before, after = seeds(1, 2, settings={"seed": 1, "C": 1.0}), seeds(8, 9, fingerprint=fingerprint)
        after = [dataclasses.replace(record, settings={"seed": record.seed, "C": 1.0}) for record in after]
        cell = only_cell(before, after)
        assert (cell.verdict, cell.causes) == ("undecided", ())

    def test_a_setting_that_differs_between_the_sides_but_not_the_draws_is_a_cause(self) -> None:
        before, after = seeds(1, 2, settings={"C": 1.0}), seeds(8, 9, settings={"C": 2.0})
        assert tuple(map(str, only_cell(before, after).causes)) == ("C 2, was 1",)

    @pytest.mark.parametrize("after", [[7], [7, 8]])
    def test_one_seed_against_another_is_incomparable_and_both_are_named(self, after: list[int]) -> None:
        cell = only_cell(seeds(42), seeds(*after))
        assert (cell.verdict, cell.reasons, cell.seeds) == ("incomparable", ("seed 7, was 42",), (7,))

    def test_trainings_that_share_few_seeds_are_draws_and_a_note_says_so(self) -> None:
        cell = only_cell(seeds(1, 2, 3), seeds(3, 4, lost=5))
        assert cell.seeds == (3, 4)
        assert (
            cell.notes[0]
            == "seeds overlap partly, so all are compared as draws: seeds 1, 2, 3 before, seeds 3, 4 after"
        )
        several = only_cell(seeds(1, 2, 3, 4, 5), seeds(5, 6, 7, 8, 9))
        assert several.accuracy is not None
        assert (several.accuracy.seeds, several.accuracy.test) == (5, "seeds and sentences random, unpaired seeds")

    def test_one_training_against_five_uses_all_of_them(self) -> None:
        cell = only_cell(seeds(1, 2, 3, 4, 5), seeds(1, lost=40))
        assert (cell.verdict, cell.notes[1]) == (
            "regressed",
            "the bounds use up to 2 times the spread of the 5 seeds of one side",
        )

    def test_five_common_seeds_and_the_seeds_of_a_probe_are_paired(self) -> None:
        cell = only_cell(seeds(1, 2, 3, 4, 5, 6), seeds(1, 2, 3, 4, 5))
        assert cell.notes == ("compared on the common seeds 1, 2, 3, 4, 5; seed 6 on one side only",)
        probes = only_cell([probe(right(), seed=seed) for seed in (1, 2, 3)], [probe(right(), seed=3)])
        assert (probes.seeds, probes.notes) == ((3,), ("compared on the common seed 3; seeds 1, 2 on one side only",))
        assert probes.accuracy is not None
        assert probes.accuracy.test == "exact McNemar"

    def test_a_seed_that_collapses_fails_the_cell_whatever_the_mean(self) -> None:
        after = seeds(1, 2, 3, 4, 5)
        after[3] = answered(right(*range(250)), seed=4)
        cell = only_cell(seeds(1, 2, 3, 4, 5), after)
        assert cell.verdict == "regressed"
        assert [failed.sentence for failed in cell.failed_seeds] == ["seed 4 of 5 collapsed: 0.38, the others 0.97"]

    def test_one_seed_with_other_rows_makes_the_cell_incomparable(self) -> None:
        after = seeds(1, 2, 3)
        moved = dataclasses.replace(FINGERPRINT.train, order="ffff")
        after[1] = dataclasses.replace(after[1], fingerprint=dataclasses.replace(after[1].fingerprint, train=moved))
        cell = only_cell(seeds(1, 2, 3), after)
        assert (cell.verdict, cell.reasons) == ("incomparable", ("training order: the same rows in another order",))

    def test_held_out_rows_differ_from_seed_to_seed(self) -> None:
        recipe = build_recipe("homework9")
        heldout = dataclasses.replace(WHOLE.dataset, split="heldout")
        changes = {"recipe": recipe, "recipe_label": recipe.label, "dataset": heldout}
        cell = only_cell(seeds(1, 2, 3, **changes), seeds(1, 2, 3, lost=40, **changes))
        assert cell.accuracy is not None
        assert cell.accuracy.test == "seeds random, unpaired seeds"

    def test_each_held_out_record_of_the_first_schema_borrows_the_labels_of_its_own_seed(self) -> None:
        recipe = build_recipe("homework9")
        heldout = dataclasses.replace(WHOLE.dataset, split="heldout")
        after = seeds(1, 2, 3, recipe=recipe, recipe_label=recipe.label, dataset=heldout)
        other_labels = {
            "labels": tuple(1 - label for label in after[1].labels),
            "predictions": tuple(1 - label for label in after[1].predictions),
        }
        after[1] = dataclasses.replace(after[1], **other_labels)
        cell = only_cell([of_schema_1(record) for record in after], after)
        assert cell.accuracy is not None
        assert (cell.accuracy.before, cell.accuracy.after, cell.verdict) == (0.975, 0.975, "held")


SLOWER = SpeedAndMemoryChange((PhaseTimeChange("all", 1.0, 2.0, 2.0, 0.3, "slower"),), None, ())
MORE_MEMORY = SpeedAndMemoryChange((), PeakMemoryChange(100, 900, "more"), ())
CELLS = {
    "held": CellComparison("minilm", "tfidf", (42,), "held"),
    "undecided": CellComparison("minilm", "tfidf", (42,), "undecided"),
    "improved": CellComparison("minilm", "tfidf", (42,), "improved"),
    "regressed": CellComparison("minilm", "tfidf", (42,), "regressed"),
    "incomparable": CellComparison("minilm", "tfidf", (42,), "incomparable", ("seed 7, was 42",)),
    "drifted": CellComparison("minilm", "tfidf", (42,), "held", causes=(Cause("C 2, was 1", "settings"),)),
    "slower": CellComparison("minilm", "tfidf", (42,), "held", speed_and_memory=SLOWER),
    "more-memory": CellComparison("minilm", "tfidf", (42,), "held", speed_and_memory=MORE_MEMORY),
}


def with_cells(*names: str) -> Comparison:
    return Comparison("main", "now", "", TOLERANCE, ALPHA, tuple(CELLS[name] for name in names), (), (), ())


def test_missing_seeds_are_named_unless_seeds_are_draws() -> None:
    assert compared(seeds(1, 2, 3), seeds(2)).seeds_only_before == {"minilm × linear-probe": (1, 3)}
    assert compared(seeds(1, 2), seeds(1, 2, 3)).seeds_only_before == {}
    assert compared(seeds(1, 2, 3), seeds(4, 5, 6)).seeds_only_before == {}
    failure = Failure("minilm-linear-probe-seed2", "minilm", "linear-probe", 2, "out of memory")
    assert compared(seeds(1, 2), seeds(1), [failure]).seeds_only_before == {}


class TestExitStatus:
    @pytest.mark.parametrize("name", CELLS)
    @pytest.mark.parametrize("fail_on", FAIL_ON)
    def test_each_flag_fails_only_if_it_is_in_fail_on(self, name: str, fail_on: str) -> None:
        expected = 0 if name != fail_on else 2 if name == "incomparable" else 1
        assert with_cells("held", name).exit_status((fail_on,)) == expected
        assert with_cells(name).flagged(fail_on) == ((CELLS[name],) if name == fail_on else ())

    def test_a_failure_takes_precedence_over_an_incomparable_cell(self) -> None:
        comparison = with_cells("incomparable", "regressed")
        assert comparison.exit_status(("regressed", "incomparable")) == 1
        assert comparison.exit_status(("incomparable",)) == 2
        assert comparison.exit_status(("slower", "more-memory", "drifted")) == 0

    @pytest.mark.parametrize(("fail_on", "expected"), [((), 0), (("regressed", "incomparable"), 0), (("missing",), 1)])
    def test_missing_cells_fail_if_they_are_in_fail_on(self, fail_on: tuple[str, ...], expected: int) -> None:
        comparison = dataclasses.replace(with_cells("held"), only_before=("minilm × linear-probe",))
        assert comparison.exit_status(fail_on) == expected
        of_seeds = dataclasses.replace(with_cells("held"), seeds_only_before={"minilm × tfidf": (2, 3)})
        assert of_seeds.exit_status(fail_on) == expected
        both = dataclasses.replace(with_cells("incomparable"), only_before=("minilm × linear-probe",))
        assert both.exit_status(("missing", "incomparable")) == 1

    def test_without_fail_on_only_an_empty_comparison_fails(self) -> None:
        assert with_cells(*CELLS).exit_status(()) == 0
        assert with_cells().exit_status(()) == 2


def test_the_comparison_has_the_changes_of_the_environment() -> None:
    other = dataclasses.replace(WHOLE, environment=dataclasses.replace(ENVIRONMENT, python="3.13.0"))
    assert compared([WHOLE], [other]).environment == (EnvironmentChange("python", "3.12.1", "3.13.0"),)
