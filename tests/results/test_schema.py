"""The JSON Schema of results files: written files are valid, damaged ones are not."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from importlib import resources
from typing import Any

import jsonschema
import pytest

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.migrations import SCHEMA_VERSION
from pytest_sst2.results.record import Epoch
from tests.support.record_factory import BARE, FAILURE, make_record


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The schema in the installed package."""
    file = resources.files("pytest_sst2") / "results" / "schema.json"
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture
def written() -> dict[str, Any]:
    """A results file with a record that has every field, and one without the optional ones."""
    text = results_text(Results([make_record(), make_record(**BARE)], [FAILURE], saved="2026-11-23T10:54:57+00:00"))
    data: dict[str, Any] = json.loads(text)
    return data


def test_the_schema_is_valid_and_has_the_schema_version(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:pytest-sst2:results:{SCHEMA_VERSION}"


def test_a_written_file_is_valid(validator: jsonschema.Draft202012Validator, written: dict[str, Any]) -> None:
    assert list(validator.iter_errors(written)) == []


def test_a_file_can_lack_fields_of_later_releases(
    validator: jsonschema.Draft202012Validator, written: dict[str, Any]
) -> None:
    del written["records"][0]["fingerprint"]["encoder"]["autocast"]
    assert list(validator.iter_errors(written)) == []


def _set(*path: str | int, value: Any) -> Callable[[dict[str, Any]], None]:
    def damage(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return damage


def _drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def damage(data: Any) -> None:
        for step in path[:-1]:
            data = data[step]
        del data[path[-1]]

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_set("schema_version", value=SCHEMA_VERSION + 1), f"{SCHEMA_VERSION} was expected"),
        (_drop("saved"), "'saved' is a required property"),
        (_set("notes", value="mine"), "'notes' was unexpected"),
        (_set("records", 0, "accuracy", value="0.75"), "'0.75' is not of type 'number'"),
        (_drop("records", 0, "predictions"), "'predictions' is a required property"),
        (_set("records", 0, "acuracy", value=0.75), "'acuracy' was unexpected"),
        (_set("records", 0, "predictions", value=[1, 0, 1, "1"]), "'1' is not of type 'integer'"),
        (_set("records", 0, "accuracy_interval", value=[0.3]), "[0.3] is too short"),
        (_set("records", 0, "recipe", "dtype", value="float8"), "'float8' is not one of"),
        (_drop("records", 0, "rounds", 0, "phases", 0, "seconds"), "'seconds' is a required property"),
        (_set("records", 0, "metrics", value={"f1": "high"}), "'high' is not valid under any of the given schemas"),
        (_drop("failures", 0, "error"), "'error' is a required property"),
    ],
)
def test_a_damaged_file_is_invalid_for_its_damage(
    damage: Callable[[dict[str, Any]], None],
    message: str,
    validator: jsonschema.Draft202012Validator,
    written: dict[str, Any],
) -> None:
    damaged = copy.deepcopy(written)
    damage(damaged)
    (error,) = validator.iter_errors(damaged)
    assert message in error.message


@pytest.mark.parametrize("part", ["weights", "fingerprint"])
def test_an_optional_part_must_be_complete(
    part: str, validator: jsonschema.Draft202012Validator, written: dict[str, Any]
) -> None:
    written["records"][0][part].pop(next(iter(written["records"][0][part])))
    assert not validator.is_valid(written)


def test_a_packed_baseline_is_not_valid(validator: jsonschema.Draft202012Validator) -> None:
    assert not validator.is_valid(json.loads(results_text(Results([make_record()]), packed=True)))


def test_objects_allow_no_other_fields_and_have_descriptions(schema: dict[str, Any]) -> None:
    objects = [part for part in (schema, *schema["$defs"].values()) if "properties" in part]
    assert len(objects) > 10
    assert all(part["additionalProperties"] is False and part["description"] for part in objects)
    for name in ("DatasetInfo", "Round", "Recipe", "EncoderFingerprint"):
        assert all(field.get("description") for field in schema["$defs"][name]["properties"].values()), name


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_valid_and_read_back(
    value: float, validator: jsonschema.Draft202012Validator
) -> None:
    record = make_record(metrics={"f1": value}, epochs=(Epoch(1, value, value, 0.5),))
    text = results_text(Results([record]))
    assert list(validator.iter_errors(json.loads(text))) == []
    (again,) = results_from_text(text, "a").records
    assert str(again.metrics["f1"]) == str(again.epochs[0].train_loss) == str(value)
