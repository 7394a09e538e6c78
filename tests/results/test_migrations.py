"""Migrations: files of every released schema version are read as current records."""

from __future__ import annotations

import dataclasses
import json

import pytest

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.migrations import SCHEMA_VERSION
from pytest_sst2.results.record import Placement, Round
from tests.support import SAMPLES
from tests.support.record_factory import (
    BARE,
    ENVIRONMENT,
    FAILURE,
    PHASES,
    make_record,
)
from tests.support.results_texts import PROBABILITY_ERROR, SAVED, refusal, without_probabilities


def frozen(name: str) -> Results:
    return results_from_text((SAMPLES / name).read_text(encoding="utf-8"), "old.json")


# Fields of a record that a schema version did not have, or had in another form.
NOT_IN_VERSION = {
    "1": ("labels", "fingerprint", "rounds", "environment", "placement"),
    "2": ("placement",),
    "2_packed": ("placement", "probabilities"),
    "3": (),
    "3_packed": ("probabilities",),
    "4_packed": ("probabilities",),
}


@pytest.mark.parametrize("version", NOT_IN_VERSION)
def test_records_of_every_version_equal_those_of_the_current_version(version: str) -> None:
    current = {record.cell: record for record in frozen(f"results_version_{SCHEMA_VERSION}.json").records}
    # The record without a model is in the files of version 2 alone.
    migrated = [record for record in frozen(f"results_version_{version}.json").records if record.model is not None]
    assert migrated
    for record in migrated:
        same = {name: getattr(current[record.cell], name) for name in NOT_IN_VERSION[version]}
        assert dataclasses.replace(record, **same) == current[record.cell]


def test_every_sample_is_tested() -> None:
    versions = {path.stem.removeprefix("results_version_") for path in SAMPLES.glob("results_version_*.json")}
    assert versions == {*NOT_IN_VERSION, str(SCHEMA_VERSION)}
    assert {int(version.split("_")[0]) for version in versions} == {*range(1, SCHEMA_VERSION + 1)}


class TestOldFiles:
    """Files that released versions wrote. Never regenerate them: add a step to ``migrations`` instead."""

    def test_version_1_has_no_labels_no_fingerprint_and_only_the_phases_of_the_median_round(self) -> None:
        migrated = frozen("results_version_1.json")
        old = make_record(
            fingerprint=None,
            labels=(),
            environment=dataclasses.replace(ENVIRONMENT, deterministic=False, variables={}),
            rounds=(
                Round(3.25, PHASES, None, 400_000_000, None, 1_000),
                Round(3.5, (), None, 400_000_000, None, 1_000),
            ),
        )
        assert migrated == Results([old], [FAILURE], "", "old.json")
        assert migrated.records[0].phases == PHASES

    def test_a_file_of_version_1_is_written_in_the_current_schema(self) -> None:
        migrated = frozen("results_version_1.json")
        again = results_from_text(results_text(migrated), "old.json")
        assert again == migrated

    def test_version_2(self) -> None:
        records = [make_record(), make_record(seed=7, cell="minilm-linear-probe-seed7"), make_record(**BARE)]
        assert frozen("results_version_2.json") == Results(records, [FAILURE], SAVED, "old.json")

    def test_version_2_counts_the_workers_in_the_environment(self) -> None:
        data = json.loads((SAMPLES / "results_version_2.json").read_text(encoding="utf-8"))
        data["records"][1]["environment"]["workers"] = 4
        read = results_from_text(json.dumps(data), "old.json").records
        assert [record.placement for record in read] == [
            Placement(),
            Placement("xdist", concurrent_workers=3),
            Placement(),
        ]

    def test_packed_records_of_version_2_share_an_environment_with_its_workers(self) -> None:
        data = json.loads((SAMPLES / "results_version_2_packed.json").read_text(encoding="utf-8"))
        data["shared"][data["records"][0]["environment"]]["workers"] = 4
        read = results_from_text(json.dumps(data), "old.json").records
        assert {record.placement for record in read[:2]} == {Placement("xdist", concurrent_workers=3)}

    @pytest.mark.parametrize("version", [3, 4])
    def test_versions_3_and_4(self, version: int) -> None:
        where = Placement("ray", "node-a", "ray 4711", 0, 1, 2, 1_700_000_000.5, 1_700_000_009.25)
        records = [make_record(placement=where), make_record(seed=7, cell="minilm-linear-probe-seed7")]
        planned = ("minilm-linear-probe-seed42", "minilm-linear-probe-seed7", "other")
        plain = frozen(f"results_version_{version}.json")
        assert plain == Results(records, [FAILURE], SAVED, "old.json", planned, "2/3")
        packed = frozen(f"results_version_{version}_packed.json")
        assert [*map(without_probabilities, packed.records)] == [*map(without_probabilities, records)]
        assert (packed.failures, packed.planned, packed.shard) == ([FAILURE], planned, "2/3")

    def test_version_2_packed(self) -> None:
        migrated, plain = frozen("results_version_2_packed.json"), frozen("results_version_2.json")
        assert [*map(without_probabilities, migrated.records)] == [*map(without_probabilities, plain.records)]
        assert migrated.records[0].probabilities == pytest.approx((0.9, 0.1, 0.8, 0.51), abs=PROBABILITY_ERROR)
        assert (migrated.failures, migrated.saved) == ([FAILURE], SAVED)


@pytest.mark.parametrize("seconds", [[], 5, None])
def test_a_damaged_file_of_version_1_is_refused(seconds: object) -> None:
    data = json.loads((SAMPLES / "results_version_1.json").read_text(encoding="utf-8"))
    data["records"][0]["rounds_seconds"] = seconds
    assert refusal(json.dumps(data)).startswith("old.json")
