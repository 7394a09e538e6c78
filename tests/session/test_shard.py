"""The tests of one shard, and its part of a baseline."""

from __future__ import annotations

from pytest_sst2.results.file import Results
from pytest_sst2.runner.sharding import Division
from pytest_sst2.session.shard import baseline_of_shard
from tests.support.record_factory import make_record

A, B, C = (make_record(cell=f"{name}-tfidf-seed1", model=name, method="tfidf", seed=1) for name in "abc")


def division(*mine: str, planned: tuple[str, ...] = (A.cell, B.cell)) -> Division:
    return Division("1/2", planned, mine, 1.0, 2.0, "main")


def test_cells_of_other_shards_are_left_out() -> None:
    baseline = Results([A, B], [], origin="main")
    kept, note = baseline_of_shard(baseline, Results([A], []), division(A.cell))
    assert kept is not None
    assert kept.records == [A]
    assert note.startswith("compared for this shard alone: ")
    assert note.endswith("then pytest-sst2 compare main all.json")


def test_a_cell_that_no_shard_measures_is_left_to_the_merge() -> None:
    kept, _ = baseline_of_shard(Results([A, B, C], [], origin="main"), Results([A], []), division(A.cell))
    assert kept is not None
    assert kept.records == [A]


def test_a_baseline_without_a_cell_of_the_shard_is_not_compared() -> None:
    kept, note = baseline_of_shard(Results([B], [], origin="main"), Results([A], []), division(A.cell))
    assert kept is None
    assert note == "baseline 'main' has no cell of this shard to compare with"
