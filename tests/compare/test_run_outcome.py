"""Test the outcome of a run with and without a comparison."""

from __future__ import annotations

import dataclasses

import pytest

from pytest_sst2.compare.run_outcome import run_outcome
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import Failure
from tests.support.record_factory import make_record
from tests.support.run_factory import baseline, compared, later

FAILURE = Failure("a", "b", "c", 1, "d")


@pytest.mark.parametrize(
    ("floors", "failures", "problems", "outcome", "tone"),
    [
        ([], [], [], "NOTHING MEASURED", "neutral"),
        ([0.7, 0.7], [], [], "PASSES", "good"),
        ([0.7, None], [], [], "MEASURED", "plain"),
        ([0.8], [], [], "FAILS", "bad"),
        ([0.7], [FAILURE], [], "FAILS", "bad"),
        ([0.7], [], ["not saved"], "FAILS", "bad"),
    ],
)
def test_without_a_comparison(
    floors: list[float | None], failures: list[Failure], problems: list[str], outcome: str, tone: str
) -> None:
    records = [make_record(floor=None if floor is None else Floor(floor, "by hand")) for floor in floors]
    run = run_outcome(Results(records, failures), None, (), problems)
    assert (run.outcome, run.tone, run.has_trouble) == (outcome, tone, tone == "bad")


def test_a_comparison_decides_a_run_without_trouble() -> None:
    same = baseline()
    run = run_outcome(same, compared(same, same), ("regressed",))
    assert (run.outcome, run.tone) == ("HOLDS", "good")
    measured = Results(later().records[1:], [])
    other_seed = Results([dataclasses.replace(record, seed=7) for record in measured.records[2:]], [])
    run = run_outcome(other_seed, compared(same, other_seed), ("incomparable",))
    assert (run.outcome, run.tone) == ("CANNOT COMPARE", "neutral")


def test_trouble_fails_a_run_whose_comparison_holds() -> None:
    same = baseline()
    run = run_outcome(same, compared(same, same), (), ["not saved"])
    assert (run.outcome, run.tone) == ("FAILS", "bad")
