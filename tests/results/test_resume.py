"""Resume: which records of an earlier run are taken, and why others are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import UNREADABLE_CODE, Phase, Placement, Weights
from pytest_sst2.results.resume import Conditions, load_unfinished, resume_notes
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import ENVIRONMENT, make_record

RECORD = make_record()
# One round without a cached phase.
PLAIN = dataclasses.replace(RECORD, rounds=RECORD.rounds[:1])


def now(**changes: Any) -> Conditions:
    fields = {
        "recipe": RECORD.recipe,
        "digest": RECORD.dataset.digest,
        "weights": RECORD.weights,
        "environment": ENVIRONMENT,
    }
    return Conditions(**{**fields, **changes})


def surroundings(**changes: Any) -> dict[str, Any]:
    return {"environment": dataclasses.replace(ENVIRONMENT, **changes)}


class TestConditions:
    def test_a_record_of_the_same_conditions_is_taken(self) -> None:
        assert now().differ_from(RECORD) == ""
        assert now(metrics=["f1"], rounds=2).differ_from(RECORD) == ""
        assert now(timed=True, exclusive=True).differ_from(PLAIN) == ""

    def test_other_seeds_are_the_same_recipe(self) -> None:
        assert now(recipe=dataclasses.replace(RECORD.recipe, seeds=(1, 2, 3))).differ_from(RECORD) == ""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"recipe": build_recipe("full")}, "recipe full, was quick train_size=500"),
            ({"digest": "other"}, "other rows"),
            ({"weights": Weights("org/name", "hub", "main", "ee" * 32, "mit")}, "other weights"),
            ({"weights": None}, "other weights"),
            (
                {"weights": Weights("org/name", "hub", "v2", "cd" * 32, "mit")},
                "another config or tokenizer next to the weights",
            ),
            ({"code": "1234"}, "other code of its method"),
            ({"metrics": ["f1", "precision", "recall"]}, "no precision, recall"),
            ({"rounds": 3}, "2 of 3 rounds"),
            ({"timed": True}, "times from a cache"),
            (surroundings(python="3.13.0"), "python 3.13.0, was 3.12.1"),
            (surroundings(packages={"torch": "2.14.0"}), "torch 2.14.0, was 2.13.0"),
            (surroundings(packages={}), "torch none, was 2.13.0"),
            (surroundings(variables={}), "OMP_NUM_THREADS none, was 2"),
            (surroundings(threads=4), "threads 4, was 2"),
            (
                surroundings(threads=4, cpu_cores=4, blas="mkl", packages={}),
                "cpu cores 4, was 2, threads 4, was 2 and 2 more",
            ),
        ],
    )
    def test_each_reason_is_named(self, changes: dict[str, Any], reason: str) -> None:
        assert now(**changes).differ_from(RECORD) == reason

    def test_times_next_to_other_workers_are_not_exclusive(self) -> None:
        concurrent = dataclasses.replace(PLAIN, placement=Placement("xdist", "here", "gw1", concurrent_workers=1))
        assert now().differ_from(concurrent) == ""
        assert now(exclusive=True).differ_from(concurrent) == "timed next to other workers"

    def test_an_unknown_commit_is_not_a_difference(self) -> None:
        unknown = Weights("", "folder", "", "cd" * 32, "mit")
        assert now(weights=unknown).differ_from(RECORD) == ""

    def test_unreadable_code_counts_as_changed(self) -> None:
        record = dataclasses.replace(RECORD, settings={"code": UNREADABLE_CODE})
        assert now(code=UNREADABLE_CODE).differ_from(record) == "other code of its method"

    def test_nodes_of_a_cluster_may_differ_in_hardware_but_not_in_software(self) -> None:
        elsewhere = surroundings(cpu_model="Xeon", cpu_cores=64, threads=8, device_name="Xeon", variables={})
        assert now(**elsewhere, anywhere=True).differ_from(RECORD) == ""
        assert now(**elsewhere).differ_from(RECORD) != ""
        upgraded = surroundings(cpu_model="Xeon", packages={"torch": "3.0"})
        assert now(**upgraded, anywhere=True).differ_from(RECORD) == "torch 3.0, was 2.13.0"

    def test_a_cached_phase_matters_in_any_round(self) -> None:
        cached = dataclasses.replace(PLAIN.rounds[0], phases=(Phase("encode", 0.1, 5, cached=True),))
        record = dataclasses.replace(PLAIN, rounds=(PLAIN.rounds[0], cached))
        assert now(timed=True).differ_from(record) == "times from a cache"


class TestReadingTheFile:
    def test_a_missing_file_is_empty(self, tmp_path: Path) -> None:
        unfinished = load_unfinished(tmp_path / "none.json")
        assert (unfinished.records, unfinished.origin) == ((), "none.json")

    @pytest.mark.parametrize("content", [b"{", b"\xff", b'{"schema_version": 99}'])
    def test_a_damaged_file_is_refused(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "bad.json"
        path.write_bytes(content)
        with pytest.raises(Sst2Error, match="--sst2-resume"):
            load_unfinished(path)


class TestNotes:
    UNFINISHED = Results([RECORD], [], origin="r.json", planned=(RECORD.cell,))

    def test_an_empty_file_has_none(self) -> None:
        assert resume_notes(Results([], [], origin="r.json"), {}, 3) == []

    def test_taken_cells_are_counted_and_reasons_are_listed_most_frequent_first(self) -> None:
        resumed = {"a": "", "b": "other rows", "c": "other weights", "d": "other weights"}
        assert resume_notes(self.UNFINISHED, resumed, 1_000) == [
            "1 of 1,000 cells taken from r.json",
            "2 of its cells measured again: other weights",
            "1 of its cells measured again: other rows",
        ]

    def test_a_file_with_a_plan_alone_has_a_note(self) -> None:
        planned = Results([], [], origin="r.json", planned=("a",))
        assert resume_notes(planned, {}, 1) == ["0 of 1 cell taken from r.json"]
