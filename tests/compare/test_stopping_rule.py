"""Looks: a cell is decided after as few seeds as it takes, and the comparison agrees with the look that ended it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.seed_schedule import SeedSchedule
from pytest_sst2.compare.stopping_rule import Limits, groups_of, planned_looks
from pytest_sst2.config.declared import Declared
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.looks import Look
from pytest_sst2.results.record import Record
from tests.support.record_factory import answered, with_fingerprint

SEEDS = (42, 43, 44, 45, 46, 47, 48, 49)
KEY = ("minilm", "fine-tune")
TOLERANCE, ALPHA = 0.01, 0.01


def record(seed: int, wrong: int, *, total: int = 400, shift: int = 0, **changes: Any) -> Record:
    """Return a record that is wrong about ``wrong`` of ``total`` sentences, from number ``shift`` on."""
    right = [not shift <= index < shift + wrong for index in range(total)]
    return answered(right, seed=seed, method="fine-tune", cell=f"minilm-fine-tune-seed{seed}", **changes)


def before(*wrong: int) -> Results:
    return Results([record(seed, count) for seed, count in zip(SEEDS, wrong, strict=False)], (), origin="main")


SAME = before(*[80] * 8)


def schedule(baseline: Results = SAME, looks: Sequence[Look] = (), tolerance: float = TOLERANCE) -> SeedSchedule:
    return SeedSchedule(baseline, [KEY], SEEDS, tolerance=tolerance, alpha=ALPHA, looks=looks)


def run(plan: SeedSchedule, later: Sequence[Record]) -> list[Record]:
    """Measure seed after seed until the schedule needs no more; return the records measured."""
    measured = []
    for one in later:
        if not plan.reason_to_skip(KEY, one.seed):
            measured.append(one)
            plan.add(one)
    return measured


def compared(baseline: Results, measured: Sequence[Record], plan: SeedSchedule) -> CellComparison:
    after = Results(measured, (), looks=plan.looks)
    (cell,) = compare(baseline, after, tolerance=TOLERANCE, alpha=ALPHA).cells
    return cell


def test_the_looks_spend_alpha_once_however_many_seeds_there_are() -> None:
    for count in range(1, 12):
        looks = planned_looks(count)
        assert sum(look.share for look in looks) == pytest.approx(1)
        assert looks[-1].seeds == count
        assert all(look.share > 0 for look in looks)
    assert [look.seeds for look in planned_looks(8)] == [1, 3, 5, 8]


def test_identical_at_the_first_seed_ends_it() -> None:
    plan = schedule()
    measured = run(plan, [record(seed, 80) for seed in SEEDS])
    assert [one.seed for one in measured] == [42]
    assert plan.reason_to_skip(KEY, 43) == "decided after 1 of 8 seeds: identical"
    assert plan.reason_to_skip(KEY, 42) == ""
    assert compared(SAME, measured, plan).verdict == "identical"


def test_an_obvious_drop_ends_it_and_is_regressed_in_the_comparison() -> None:
    noise = np.random.default_rng(0).integers(-2, 3, (2, 8))
    baseline = before(*(80 + noise[0]))
    plan = schedule(baseline)
    measured = run(plan, [record(seed, int(200 + each)) for seed, each in zip(SEEDS, noise[1], strict=True)])
    assert len(measured) < 8
    assert compared(baseline, measured, plan).verdict == "regressed"


# Seeds that differ a little, and a drop of about two points: more seeds may decide it.
CLOSE = (74, 86, 80, 77, 83, 79, 81, 80)
CLOSE_LATER = [record(seed, count + 9, shift=2) for seed, count in zip(SEEDS, reversed(CLOSE), strict=True)]


def test_a_close_drop_runs_all_seeds_and_takes_every_look_once() -> None:
    baseline = before(*CLOSE)
    plan = schedule(baseline)
    assert len(run(plan, CLOSE_LATER)) == 8
    assert [len(look.seeds) for look in plan.looks] == [1, 3, 5, 8]
    assert sum(look.alpha for look in plan.looks) == pytest.approx(ALPHA)
    assert compared(baseline, CLOSE_LATER, plan).verdict == plan.looks[-1].verdict == "undecided"


def test_seeds_that_would_hardly_decide_a_cell_are_not_measured() -> None:
    # Half of the answers flip and the seeds differ by 15 points, so eight seeds cannot show what one point is.
    wrong = [80, 120, 60, 100, 70, 110, 90, 75]
    later = [record(seed, count, shift=40) for seed, count in zip(SEEDS, reversed(wrong), strict=True)]
    baseline = before(*wrong)
    plan = schedule(baseline)
    measured = run(plan, later)
    assert [one.seed for one in measured] == [42, 43, 44]
    assert plan.reason_to_skip(KEY, 45) == "undecided after 3 of 8 seeds, and all 8 would hardly decide it"
    assert plan.needed(KEY) == ()
    cell = compared(baseline, measured, plan)
    assert (cell.verdict, cell.seeds) == ("undecided", SEEDS[:3])
    assert cell.would_decide
    # A resumed run keeps the stop, unless a seed of the look is measured again.
    again = schedule(baseline, plan.looks)
    again.add(later[0])
    assert again.reason_to_skip(KEY, 45)
    again.add(dataclasses.replace(later[1], predictions=later[0].predictions), measured_again=True)
    assert not again.reason_to_skip(KEY, 45)


def test_a_run_that_was_killed_between_looks_is_compared_as_at_its_last_look() -> None:
    baseline = before(*CLOSE)
    plan = schedule(baseline)
    measured = run(plan, CLOSE_LATER[:4])
    assert compared(baseline, measured, plan).seeds == SEEDS[:3]


def test_p_values_are_corrected_for_the_groups_of_cells_and_the_probes_of_one_embedding() -> None:
    one = record(42, 80)
    probe = with_fingerprint(dataclasses.replace(one, method="linear-probe"), training=None)
    cells = {("minilm", "fine-tune"): one, ("minilm", "linear-probe"): probe, ("minilm", "knn"): probe}
    cells[(None, "tfidf")] = dataclasses.replace(probe, model=None)
    limits = Limits(TOLERANCE, ALPHA, groups_of({key: {42: each} for key, each in cells.items()}))
    assert len(set(limits.groups.values())) == 3
    assert limits.correction(one) == 3
    assert limits.correction(probe) >= 2 * 3


def test_the_looks_of_the_file_are_not_taken_again() -> None:
    spent = dataclasses.replace(_taken(), verdict="undecided")
    plan = schedule(looks=[spent])
    plan.add(record(42, 80), measured_again=True)
    assert plan.looks == [spent]
    assert plan.needed(KEY) == (43, 44)
    # Measured again, the first seed decides nothing: its look is spent.
    again = schedule(looks=[_taken()])
    for _ in range(2):
        again.add(record(42, 80), measured_again=True)
    assert again.looks == [spent]


def test_a_resumed_run_takes_the_same_looks() -> None:
    plan = schedule(looks=[_taken()])
    plan.add(record(42, 80))
    assert plan.looks == [_taken()]
    assert plan.reason_to_skip(KEY, 43) == "decided after 1 of 8 seeds: identical"


def _taken() -> Look:
    plan = schedule()
    plan.add(record(42, 80))
    (look,) = plan.looks
    return look


def test_looks_of_another_baseline_or_tolerance_are_forgotten() -> None:
    other = schedule(before(*[90] * 8), looks=[_taken()])
    assert other.looks == []
    assert schedule(tolerance=0.005, looks=[_taken()]).looks == []


def test_looks_survive_the_results_file() -> None:
    plan = schedule()
    plan.add(record(42, 80))
    text = results_text(Results([record(42, 80)], looks=plan.looks))
    assert list(results_from_text(text, "r.json").looks) == plan.looks


def test_a_cell_that_the_baseline_lacks_needs_all_seeds() -> None:
    plan = schedule(Results([dataclasses.replace(record(42, 80), model="other")], ()))
    assert len(run(plan, [record(seed, 80) for seed in SEEDS])) == 8
    assert plan.looks == []
    assert plan.needed(("minilm", "tfidf")) == SEEDS


def test_seeds_in_another_order_decide_nothing_before_the_first_ones() -> None:
    plan = schedule()
    for seed in (45, 44, 43):
        plan.add(record(seed, 80))
        assert plan.reason_to_skip(KEY, 49) == ""
    plan.add(record(42, 80))
    assert [look.seeds for look in plan.looks] == [(42,)]


def test_a_seed_without_a_number_ends_the_cell() -> None:
    plan = schedule()
    plan.add_failure(KEY, 42)
    assert plan.reason_to_skip(KEY, 43) == "not needed: seed 42 has no number, so the cell cannot be compared"
    assert plan.reason_to_skip(KEY, 42) == ""
    # A rerun measured it after all.
    plan.add(record(42, 80))
    assert plan.reason_to_skip(KEY, 43) == "decided after 1 of 8 seeds: identical"


def test_an_incomparable_cell_ends_after_its_first_seed() -> None:
    plan = schedule()
    base = record(42, 80)
    plan.add(dataclasses.replace(base, recipe=dataclasses.replace(base.recipe, epochs=9)))
    assert plan.reason_to_skip(KEY, 43) == "decided after 1 of 8 seeds: incomparable"


def test_an_error_while_looking_leaves_the_cell_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("pytest_sst2.compare.stopping_rule.compare", broken)
    plan = schedule()
    assert len(run(plan, [record(seed, 80) for seed in SEEDS])) == 8


def test_a_baseline_of_one_seed_can_decide_and_lacks_nothing() -> None:
    baseline = before(80)
    plan = schedule(baseline)
    measured = run(plan, [record(seed, 80) for seed in SEEDS])
    comparison = compare(baseline, Results(measured, (), looks=plan.looks), tolerance=TOLERANCE, alpha=ALPHA)
    assert comparison.cells[0].verdict == "identical"
    whole = compare(SAME, Results(measured, (), looks=plan.looks), tolerance=TOLERANCE, alpha=ALPHA)
    assert whole.seeds_only_before == {}


def test_a_model_under_another_name_is_looked_at_where_that_was_declared() -> None:
    declared = Declared(model=True, pairs=("minilm=tiny", "other=huge"))
    old = Results([*SAME.records, *(dataclasses.replace(one, model="other") for one in SAME.records)], ())
    cells = [("tiny", "fine-tune"), ("huge", "fine-tune")]
    plan = SeedSchedule(old, cells, SEEDS, tolerance=TOLERANCE, alpha=ALPHA, declared=declared)
    plan.add(dataclasses.replace(record(42, 80), model="tiny"))
    assert plan.looks[0].verdict in ("identical", "held", "undecided")
    assert plan.needed(("huge", "fine-tune")) == (42,)
    assert plan.needed(("third", "fine-tune")) == SEEDS
