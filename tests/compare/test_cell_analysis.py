"""Test which cells are analysed before and after, and with which labels."""

from __future__ import annotations

import dataclasses

from pytest_sst2.compare.cell_analysis import analyse_cells
from pytest_sst2.compare.comparison import compare
from pytest_sst2.results.file import Results
from tests.support.record_factory import make_record, of_schema_1
from tests.support.run_factory import baseline, compared, later, of, sentences_of


def test_a_baseline_of_schema_1_takes_the_labels_of_this_run() -> None:
    old = Results([of_schema_1(record) for record in baseline().records], [])
    first, *_ = analyse_cells(later(), sentences_of, old, compared())
    assert first.is_compared
    assert first.confusion is not None


def test_without_any_labels_there_is_no_analysis() -> None:
    old = Results([of_schema_1(record) for record in later().records], [])
    first, *_ = analyse_cells(old, sentences_of)
    assert (first.confusion, first.calibration_error, first.slices, first.flips) == (None, None, (), ())


def test_failing_cells_need_most_attention() -> None:
    assert [cell.attention_rank for cell in analyse_cells(later(), sentences_of, baseline(), compared())] == [0, 2, 1]


def test_held_out_seeds_without_a_common_one_are_not_compared_row_by_row() -> None:
    data = dataclasses.replace(make_record().dataset, split="heldout")
    before = Results([of([True] * 30, seed=seed, dataset=data) for seed in (1, 2)], [], origin="main")
    after = Results([of([True] * 20 + [False] * 10, seed=seed, dataset=data) for seed in (3, 4, 5)], [])
    comparison = compare(before, after, tolerance=0.005, alpha=0.01)
    (cell,) = analyse_cells(after, lambda _: ["a sentence"] * 30, before, comparison)
    assert cell.comparison is not None
    assert cell.comparison.verdict != "incomparable"
    assert not cell.is_compared
    assert all(score.change is None for score in cell.slices)
    assert all(flip.before is None for flip in cell.flips)
