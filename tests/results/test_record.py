"""Records: their JSON, and what is derived from their fields."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from pytest_sst2.results.floors import FloorKey
from pytest_sst2.results.record import Phase, Record, Round
from tests.support.record_factory import ENVIRONMENT, PHASES, make_record


def test_the_json_of_a_record_is_plain_json() -> None:
    plain = make_record().to_json()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["accuracy_interval"] == [0.300642, 0.954413]
    assert plain["predictions"] == [1, 0, 1, 1]
    assert plain["recipe"]["seeds"] == [42, 7]
    phase = {"name": "encode", "seconds": 2.25, "examples": 500, "cached": True, "delay_seconds": None}
    assert plain["rounds"][1]["phases"][1] == phase


def test_the_json_names_every_field_of_the_record() -> None:
    assert list(make_record().to_json()) == [field.name for field in dataclasses.fields(Record)]


def test_changing_the_json_does_not_change_the_record() -> None:
    record = make_record()
    record.to_json()["settings"]["C"] = 2.0
    assert record.settings["C"] == 1.0


def test_a_record_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_record().accuracy = 1.0  # type: ignore[misc]


@pytest.mark.parametrize(("accuracy", "reaches"), [(0.7, True), (0.71, True), (0.6999, False)])
def test_a_floor_is_reached_from_exactly_its_accuracy_on(accuracy: float, reaches: bool) -> None:
    assert make_record(accuracy=accuracy).reaches_floor is reaches


def test_any_accuracy_passes_without_a_floor() -> None:
    assert make_record(accuracy=0.0, floor=None).reaches_floor


def test_the_floor_key_has_data_recipe_model_and_method_but_not_the_seed() -> None:
    expected = FloorKey("reviews", "quick train_size=500", "minilm", "linear-probe")
    assert make_record().floor_key == make_record(seed=7).floor_key == expected
    assert make_record(model=None).floor_key.model == ""


def test_seconds_are_summed_over_the_named_phases() -> None:
    record = make_record()
    assert record.seconds("encode", "fit") == 2.25
    assert record.seconds("train", "fit") == 0.25
    assert record.seconds("train") is None


@pytest.mark.parametrize(
    ("seconds", "median"),
    [((4.0,), 4.0), ((4.0, 3.0), 3.0), ((5.0, 3.0, 4.0), 4.0), ((9.0, 1.0, 5.0, 3.0), 3.0)],
)
def test_the_phases_are_those_of_the_lower_median_round(seconds: tuple[float, ...], median: float) -> None:
    rounds = tuple(Round(total, (Phase("fit", total),), 0.004, 5, 5) for total in seconds)
    assert make_record(rounds=rounds).phases == (Phase("fit", median),)


def test_memory_is_the_highest_of_any_round() -> None:
    record = make_record()
    assert (record.peak_bytes, record.device_peak_bytes) == (400_000_000, 1_000)
    assert make_record(rounds=(Round(1.0, PHASES, 0.004, 5, 5),)).device_peak_bytes is None


def test_the_headline_names_installed_libraries_in_a_fixed_order() -> None:
    packages = {"zlib": "1", "scikit-learn": "1.9.1", "torch": "2.13.0"}
    environment = dataclasses.replace(ENVIRONMENT, packages=packages)
    assert environment.headline == "torch 2.13.0, scikit-learn 1.9.1"


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        (Phase("encode", 2.0, 500), 250.0),
        (Phase("load", 2.0), None),
        (Phase("predict", 0.0, 500), None),
        (Phase("fit", 0.5, 500), 1000.0),
        (Phase("encode", 2.0, 500, cached=True), None),
    ],
)
def test_a_rate_needs_examples_and_time(phase: Phase, expected: float | None) -> None:
    assert phase.examples_per_second == expected


@pytest.mark.parametrize("value", [np.float32(1.0), np.int64(3), np.array([1.0]), {1, 2}])
def test_settings_of_a_custom_method_that_are_not_json_become_text(value: Any) -> None:
    assert "C" in make_record(settings={"C": value}).to_json()["settings"]
