"""Records: to and from JSON without loss, and a sentence for a file that is not one of ours."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from pytest_sst2.errors import Sst2Error
from pytest_sst2.floors import Floor, FloorKey
from pytest_sst2.recipes import build_recipe
from pytest_sst2.records import (
    DatasetInfo,
    Environment,
    Epoch,
    Failure,
    Interval,
    Latency,
    Phase,
    Record,
    Weights,
    record_from_json,
    records_from_text,
    results_text,
)


def make_record(**changes: Any) -> Record:
    """Return a record with something in every field."""
    recipe = build_recipe("quick", train_size=500, seeds=(42, 7))
    record = Record(
        cell="minilm-linear-probe-seed42",
        model="minilm",
        method="linear-probe",
        seed=42,
        accuracy=0.75,
        accuracy_interval=Interval(0.300642, 0.954413),
        correct=3,
        total=4,
        majority_accuracy=0.5,
        dataset=DatasetInfo("reviews", "folder", "sha256:0123456789ab", "validation", 500, 4, "ab" * 32, "a note"),
        recipe=recipe,
        recipe_label=recipe.label,
        environment=Environment(
            python="3.12.1",
            implementation="CPython",
            platform="Linux",
            packages={"torch": "2.13.0"},
            device="cpu",
            device_name="EPYC",
            cpu_model="EPYC",
            cpu_cores=2,
            threads=2,
            blas="openblas",
            matmul_precision="highest",
        ),
        weights=Weights("org/name", "hub", "main", "cd" * 32, "mit"),
        settings={"C": 1.0, "solver": "lbfgs", "modules": ["Transformer", "Pooling"], "max_iter": None},
        predictions=(1, 0, 1, 1),
        probabilities=(0.9, 0.1, 0.800001, 0.51),
        phases=(Phase("load", 0.5), Phase("encode", 2.0, 500), Phase("fit", 0.25, 500), Phase("predict", 0.5, 4)),
        rounds_seconds=(3.25, 3.5),
        latency=Latency(0.004, 0.009, 4),
        peak_bytes=400_000_000,
        device_peak_bytes=1_000,
        epochs=(Epoch(1, 0.6, 0.5, 0.75),),
        metrics={"f1": 0.8},
        floor=Floor(0.7, "by hand"),
        warnings=("short: “few” rows",),
    )
    return dataclasses.replace(record, **changes)


# Fields that a file may lack.
OPTIONAL = ("device_peak_bytes", "metrics")
BARE: dict[str, Any] = {
    "model": None,
    "weights": None,
    "floor": None,
    "device_peak_bytes": None,
    "epochs": (),
    "metrics": {},
    "warnings": (),
    "settings": {},
}
FAILURE = Failure("albert-fine-tune-seed42", "albert", "fine-tune", 42, "model 'albert' could not be had: “offline”")


@pytest.mark.parametrize("changes", [{}, BARE], ids=["full", "bare"])
def test_a_record_comes_back_from_json_as_it_was(changes: dict[str, Any]) -> None:
    record = make_record(**changes)
    assert record_from_json(record.to_json()) == record


def test_the_json_of_a_record_survives_json_itself() -> None:
    plain = make_record().to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["accuracy_interval"] == [0.300642, 0.954413]
    assert plain["predictions"] == [1, 0, 1, 1]
    assert plain["recipe"]["seeds"] == [42, 7]


def test_the_json_names_every_field_of_the_record() -> None:
    assert list(make_record().to_json()) == [field.name for field in dataclasses.fields(Record)]


def test_the_json_is_apart_from_the_record() -> None:
    record = make_record()
    record.to_json()["settings"]["C"] = 2.0
    assert record.settings["C"] == 1.0


def test_a_record_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_record().accuracy = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("accuracy", "reaches"), [(0.7, True), (0.71, True), (0.6999, False)])
def test_a_floor_is_reached_from_exactly_its_accuracy_on(accuracy: float, reaches: bool) -> None:
    assert make_record(accuracy=accuracy).reaches_floor is reaches


def test_without_a_floor_anything_passes() -> None:
    assert make_record(accuracy=0.0, floor=None).reaches_floor


def test_a_floor_is_kept_under_data_recipe_label_model_and_method_but_not_seed() -> None:
    expected = FloorKey("reviews", "quick train_size=500", "minilm", "linear-probe")
    assert make_record().floor_key == make_record(seed=7).floor_key == expected
    assert make_record(model=None).floor_key.model == ""


def test_seconds_are_summed_over_the_phases_that_are_named() -> None:
    record = make_record()
    assert record.seconds("encode", "fit") == 2.25
    assert record.seconds("train", "fit") == 0.25
    assert record.seconds("train") is None


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase("encode", 2.0, 500), 250.0),
        (Phase("load", 2.0), None),
        (Phase("predict", 0.0, 500), None),
    ],
)
def test_a_rate_needs_examples_and_time(phase: Phase, expected: float | None) -> None:
    assert phase.examples_per_second == expected


def test_a_results_file_comes_back_as_it_was() -> None:
    records = [make_record(), make_record(**BARE, seed=7)]
    assert records_from_text(results_text(records, [FAILURE]), "results.json") == (records, [FAILURE])


@pytest.mark.parametrize(("records", "failures"), [([], []), ([], [FAILURE]), ([make_record()], [])])
def test_a_results_file_may_lack_records_or_failures(records: list[Record], failures: list[Failure]) -> None:
    assert records_from_text(results_text(records, failures), "results.json") == (records, failures)


def test_a_results_file_has_its_version_first_and_a_record_a_line() -> None:
    text = results_text([make_record(), make_record(seed=7)], [FAILURE])
    lines = text.split("\n")
    assert lines[0] == '{"schema_version": 1, "records": ['
    assert [json.loads(line.rstrip(","))["seed"] for line in lines[1:3]] == [42, 7]
    assert lines[3:] == ["],", lines[4], ""]
    assert "“few”" in text


def test_a_file_of_schema_version_1_can_be_read_for_ever() -> None:
    """What 0.1.0 writes. Once that is released, never regenerate the text: teach ``records`` to read it."""
    records, failures = records_from_text(VERSION_1, "old.json")
    assert records == [make_record()]
    assert failures == [FAILURE]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["old.json", "--sst2-json"]),
        ("accuracy,0.8\n", ["old.json", "--sst2-json"]),
        ("[]", ["old.json", "--sst2-json"]),
        ('"text"', ["old.json", "--sst2-json"]),
        ("null", ["old.json", "--sst2-json"]),
        ('{"benchmarks": []}', ["old.json", "--sst2-json", "schema_version"]),
        ('{"schema_version": 2, "records": []}', ["old.json", "version 2", "version 1", "Upgrade pytest-sst2"]),
        ('{"schema_version": 1, "failures": []}', ["old.json", "records"]),
        ('{"schema_version": 1, "records": []}', ["old.json", "failures"]),
        ('{"schema_version": 1, "records": 5, "failures": []}', ["old.json"]),
        ('{"schema_version": 1, "records": [5], "failures": []}', ["old.json", "not a record"]),
        ('{"schema_version": 1, "records": [{}], "failures": []}', ["old.json", "not a record"]),
        ('{"schema_version": 1, "records": [], "failures": [{"cell": "a"}]}', ["old.json", "model"]),
    ],
)
def test_a_file_that_is_no_results_file_is_refused_with_its_name(text: str, parts: list[str]) -> None:
    with pytest.raises(Sst2Error) as caught:
        records_from_text(text, "old.json")
    assert [part for part in parts if part not in str(caught.value)] == []


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Record) if field.name not in OPTIONAL])
def test_a_record_that_lacks_a_field_is_refused_with_the_fields_name(name: str) -> None:
    plain = make_record().to_json()
    del plain[name]
    with pytest.raises(Sst2Error, match=name):
        record_from_json(plain)


@pytest.mark.parametrize("part", ["dataset", "recipe", "environment", "weights", "latency", "floor"])
def test_an_unknown_field_is_refused_with_its_name(part: str) -> None:
    plain = make_record().to_json()
    plain[part]["colour"] = "red"
    with pytest.raises(Sst2Error, match="colour"):
        record_from_json(plain)
    with pytest.raises(Sst2Error, match="colour"):
        record_from_json({**make_record().to_json(), "colour": "red"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy_interval", [0.1]),
        ("dataset", None),
        ("recipe", "quick"),
        ("phases", 5),
        ("phases", [[1, 2]]),
        ("latency", []),
        ("predictions", None),
    ],
)
def test_a_part_of_another_shape_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Sst2Error, match="not a record of schema version 1"):
        record_from_json({**make_record().to_json(), name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("accuracy", "high"), ("seed", None), ("model", 5), ("metrics", []), ("phases", {})]
)
def test_a_value_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Sst2Error, match=name):
        record_from_json({**make_record().to_json(), name: value})


def forbid(name: str) -> float:
    raise AssertionError(f"{name} is not JSON")


@pytest.mark.parametrize(
    "changes",
    [{"epochs": (Epoch(1, math.nan, math.inf, 0.5),)}, {"settings": {"C": math.inf}}, {"metrics": {"f1": math.nan}}],
)
def test_a_results_file_is_json_to_every_reader_even_after_a_loss_of_nan(changes: dict[str, Any]) -> None:
    json.loads(results_text([make_record(**changes)], []), parse_constant=forbid)


@pytest.mark.parametrize("value", [np.float32(1.0), np.int64(3), np.array([1.0]), {1, 2}])
def test_settings_of_somebodys_method_that_json_does_not_know_do_not_end_the_run(value: Any) -> None:
    assert "C" in make_record(settings={"C": value}).to_json()["settings"]


VERSION_1 = """\
{"schema_version": 1, "records": [{"cell": "minilm-linear-probe-seed42", "model": "minilm", "method":
"linear-probe", "seed": 42, "accuracy": 0.75, "accuracy_interval": [0.300642, 0.954413], "correct": 3, "total":
4, "majority_accuracy": 0.5, "dataset": {"name": "reviews", "source": "folder", "revision":
"sha256:0123456789ab", "split": "validation", "train_size": 500, "eval_size": 4, "digest":
"abababababababababababababababababababababababababababababababab", "note": "a note"}, "recipe": {"name":
"quick", "train_size": 500, "evaluation": "validation", "eval_size": null, "seeds": [42, 7], "epochs": 1,
"batch_size": 16, "learning_rate": 0.0001, "max_length": 128,
"group_by_length": true, "probe_max_length": null, "dtype": "float32"},
"recipe_label": "quick train_size=500", "environment": {"python": "3.12.1", "implementation": "CPython",
"platform": "Linux", "packages": {"torch": "2.13.0"}, "device": "cpu", "device_name": "EPYC", "cpu_model":
"EPYC", "cpu_cores": 2, "threads": 2, "blas": "openblas", "matmul_precision": "highest"}, "weights": {"hub_id":
"org/name", "source": "hub", "revision": "main", "sha256":
"cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd", "licence": "mit"}, "settings": {"C": 1.0,
"solver": "lbfgs", "modules": ["Transformer", "Pooling"], "max_iter": null}, "predictions": [1, 0, 1, 1],
"probabilities": [0.9, 0.1, 0.800001, 0.51], "phases": [{"name": "load", "seconds": 0.5, "examples": 0},
{"name": "encode", "seconds": 2.0, "examples": 500}, {"name": "fit", "seconds": 0.25, "examples": 500}, {"name":
"predict", "seconds": 0.5, "examples": 4}], "rounds_seconds": [3.25, 3.5], "latency": {"p50_seconds": 0.004,
"p95_seconds": 0.009, "samples": 4}, "peak_bytes": 400000000, "device_peak_bytes": 1000, "epochs": [{"number":
1, "train_loss": 0.6, "eval_loss": 0.5, "eval_accuracy": 0.75}], "metrics": {"f1": 0.8}, "floor": {"accuracy":
0.7, "provenance": "by hand"}, "warnings": ["short: “few” rows"]}], "failures": [{"cell":
"albert-fine-tune-seed42", "model": "albert", "method": "fine-tune", "seed": 42, "error":
"model 'albert' could not be had: “offline”"}]}
"""
