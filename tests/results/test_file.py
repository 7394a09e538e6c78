"""Results files: read back without loss, and other files are refused in one sentence."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Epoch, Failure, Record
from tests.support.record_factory import (
    BARE,
    FAILURE,
    make_record,
)
from tests.support.results_texts import SAVED, refusal, without_probabilities


class TestPlain:
    def test_a_file_is_read_back_without_loss(self) -> None:
        records = [make_record(), make_record(**BARE, seed=7)]
        text = results_text(Results(records, [FAILURE], saved=SAVED))
        assert results_from_text(text, "now.json") == Results(records, [FAILURE], SAVED, "now.json")

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize(("records", "failures"), [([], []), ([], [FAILURE]), ([make_record(**BARE)], [])])
    def test_a_file_can_lack_records_or_failures(
        self, records: list[Record], failures: list[Failure], packed: bool
    ) -> None:
        content = results_from_text(results_text(Results(records, failures), packed=packed), "now.json")
        assert [without_probabilities(record) for record in content.records] == [*map(without_probabilities, records)]
        assert (content.failures, content.saved) == (failures, "")

    def test_a_file_has_its_version_first_and_one_line_per_record(self) -> None:
        text = results_text(Results([make_record(), make_record(seed=7)], [FAILURE], saved=SAVED))
        lines = text.split("\n")
        assert lines[:2] == [f'{{"schema_version": 4, "saved": "{SAVED}", "shard": "",', '"records": [']
        assert [json.loads(line.rstrip(","))["seed"] for line in lines[2:4]] == [42, 7]
        assert lines[4:] == ["],", lines[5], ""]
        assert "“few”" in text

    @pytest.mark.parametrize("packed", [False, True])
    @pytest.mark.parametrize(
        "changes",
        [
            {"epochs": (Epoch(1, math.nan, math.inf, 0.5),)},
            {"settings": {"C": math.inf}},
            {"metrics": {"f1": math.nan}},
        ],
    )
    def test_numbers_that_are_not_finite_are_valid_json(self, changes: dict[str, Any], packed: bool) -> None:
        def forbid(name: str) -> float:
            raise AssertionError(f"{name} is not JSON")

        json.loads(results_text(Results([make_record(**changes)]), packed=packed), parse_constant=forbid)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["old.json", "--sst2-json"]),
        ("accuracy,0.8\n", ["old.json", "--sst2-json"]),
        ("[]", ["old.json", "--sst2-json", "it is not a JSON object."]),
        ("9" * 5_000, ["old.json", "--sst2-json", "5000 digits."]),
        ('"text"', ["old.json", "--sst2-json"]),
        ("null", ["old.json", "--sst2-save"]),
        ("[" * 100_000, ["old.json", "--sst2-json"]),
        ('{"benchmarks": []}', ["old.json", "--sst2-json", "schema_version"]),
        ('{"schema_version": 5, "records": []}', ["old.json", "version 5", "versions 1 to 4", "Upgrade pytest-sst2"]),
        (
            '{"schema_version": 0, "records": []}',
            ["old.json", "is damaged", "0, and not a number from 1 to 4"],
        ),
        ('{"schema_version": true, "records": []}', ["old.json", "is damaged", "version is True"]),
        ('{"schema_version": "2", "records": []}', ["old.json", "is damaged", "version is '2'"]),
        ('{"schema_version": 1, "failures": []}', ["old.json", "records"]),
        ('{"schema_version": 1, "records": []}', ["old.json", "failures"]),
        ('{"schema_version": 1, "records": 5, "failures": []}', ["old.json"]),
        ('{"schema_version": 1, "records": [5], "failures": []}', ["old.json"]),
        ('{"schema_version": 1, "records": [{}], "failures": []}', ["old.json", "phases"]),
        ('{"schema_version": 1, "records": [], "failures": [{"cell": "a"}]}', ["old.json", "model"]),
        ('{"schema_version": 2, "records": [], "failures": []}', ["old.json", "saved"]),
        ('{"schema_version": 2, "saved": "", "records": [{}], "failures": []}', ["old.json", "environment"]),
        ('{"schema_version": 3, "saved": "", "records": [{}], "failures": []}', ["old.json", "'rounds' is missing"]),
        ('{"schema_version": 4, "saved": "", "records": [{}], "failures": []}', ["old.json", "not a record"]),
        ('{"schema_version": 3, "saved": "", "records": [], "failures": []}', ["old.json", "planned"]),
        ('{"schema_version": 2, "saved": "", "records": 5, "failures": []}', ["old.json"]),
    ],
)
def test_a_file_that_is_not_a_results_file_is_refused_with_its_name(text: str, parts: list[str]) -> None:
    message = refusal(text)
    assert [part for part in parts if part not in message] == []
