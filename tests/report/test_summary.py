"""Test what every report says: headline, context, warnings and notes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.report.summary import context_lines, make_report, warning_lines
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import DatasetInfo, Failure
from tests.support.record_factory import make_record
from tests.support.run_factory import baseline, compared


def headline_and_tone(results: Results, comparison: Comparison | None, problems: Sequence[str] = ()) -> tuple[str, str]:
    report = make_report(results, comparison, (), problems)
    return report.headline, report.tone


@pytest.mark.parametrize(
    ("floors", "failures", "problems", "expected"),
    [
        ([], 0, [], ("NOTHING MEASURED: no cell has a number", "neutral")),
        ([0.7], 0, [], ("PASSES: 1 cell, it reaches its floor", "good")),
        ([0.7, 0.7], 0, [], ("PASSES: 2 cells, each reaches its floor", "good")),
        ([0.7, None], 0, [], ("MEASURED: 2 cells, 1 of them with a floor to reach", "plain")),
        ([None], 0, [], ("MEASURED: 1 cell, no floor to reach", "plain")),
        (
            [0.7, 0.8],
            0,
            [],
            ("FAILS: below its floor: minilm × linear-probe 0.7500 instead of 0.8000 (seed 1)", "bad"),
        ),
        (
            [0.8, 0.8],
            1,
            [],
            (
                "FAILS: below its floor: minilm × linear-probe 0.7500 instead of 0.8000 (seed 0); no number: b × c",
                "bad",
            ),
        ),
        ([0.0], 0, [], ("MEASURED: 1 cell, no floor to reach", "plain")),
        ([0.7], 0, ["not saved."], ("FAILS: not saved", "bad")),
        ([0.7], 0, ["not saved", "b", "c"], ("FAILS: not saved; and 2 more problems", "bad")),
    ],
)
def test_the_headline_without_a_baseline(
    floors: list[float | None], failures: int, problems: list[str], expected: tuple[str, str]
) -> None:
    made = [
        make_record(seed=seed, floor=None if floor is None else Floor(floor, "by hand"))
        for seed, floor in enumerate(floors)
    ]
    lost = [Failure("a", "b", "c", 1, "d")] * failures
    assert headline_and_tone(Results(made, lost), None, problems) == expected


def test_a_missed_floor_fails_although_the_comparison_holds() -> None:
    same = baseline()
    comparison = compared(same, same)
    assert headline_and_tone(same, comparison) == ("HOLDS: all 3 cells answered every sentence as before", "good")
    floor = Floor(0.99, "by hand")
    low = [dataclasses.replace(same.records[0], floor=floor), *same.records[1:]]
    assert headline_and_tone(Results(low, []), comparison) == (
        "FAILS: below its floor: minilm × linear-probe 0.9000 instead of 0.9900; "
        "all 3 cells answered every sentence as before",
        "bad",
    )


def test_files_with_different_data_or_environments_have_notes() -> None:
    record = make_record()
    other = dataclasses.replace(
        make_record(method="torch-probe"),
        environment=dataclasses.replace(record.environment, packages={"torch": "2.14.0"}, threads=4),
        dataset=dataclasses.replace(record.dataset, revision="sha256:ffff"),
    )
    notes = make_report(Results([record, other], [])).notes
    assert notes == (
        "note: the cells were measured on different data: reviews (sha256:0123456789ab), reviews (sha256:ffff)",
        "note: the cells were measured in different environments: threads 2 / 4, torch 2.13.0 / 2.14.0",
    )
    assert make_report(Results([record, record], [])).notes == ()


def test_the_context_names_data_recipe_device_and_versions() -> None:
    record = make_record()
    data = DatasetInfo("sst2", "hub", "8d51e7e4887a4caaa95b3fbebbf53c0490b58bbb", "validation", 2000, 872, "d" * 64)
    environment = dataclasses.replace(record.environment, threads=1)
    assert context_lines(dataclasses.replace(record, dataset=data, environment=environment)) == [
        "sst2 (8d51e7e4887a) validation n=872, trained on 2,000 · recipe quick train_size=500 · cpu × 1 thread · "
        "float32 · Python 3.12.1, torch 2.13.0"
    ]


def test_the_context_has_the_note_of_the_data() -> None:
    first, note = context_lines(make_record())
    assert first.startswith("reviews (sha256:0123456789ab) validation n=4, trained on 500 · ")
    assert " · cpu × 2 threads · " in first
    assert note == "NOTE: a note"


def test_each_warning_is_one_line_with_its_cells() -> None:
    records = [make_record(warnings=("cut",)), make_record(model="b", warnings=("cut", "collapsed"))]
    assert warning_lines(records) == ["warning: cut (all cells)", "warning: collapsed (b × linear-probe seed 42)"]
    assert warning_lines(records[:1]) == ["warning: cut (minilm × linear-probe seed 42)"]


def test_a_cell_that_cannot_be_compared_for_want_of_a_number_is_named_once() -> None:
    before = baseline()
    lost = before.records[0]
    failure = Failure(lost.cell, lost.model, lost.method, lost.seed, "its worker gw0 died")
    after = Results(before.records[1:], [failure])
    report = make_report(after, compared(before, after), ("regressed", "incomparable"))
    assert report.headline == "CANNOT COMPARE: minilm × linear-probe: no number this time: its worker gw0 died"
