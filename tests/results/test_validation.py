"""Validation: a record from JSON is read without loss, or refused with the name of the field."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import pytest

from pytest_sst2.results.record import Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.typed_json import read_plain
from tests.support.record_factory import BARE, FINGERPRINT, make_record

# Fields that a file can lack.
OPTIONAL = [
    field.name
    for field in dataclasses.fields(Record)
    if not field.default is field.default_factory is dataclasses.MISSING
]


def refusal(data: dict[str, Any]) -> str:
    with pytest.raises(Sst2Error) as caught:
        record_from_json(data)
    return str(caught.value)


@pytest.mark.parametrize("changes", [{}, BARE], ids=["full", "bare"])
def test_a_record_is_read_back_without_loss(changes: dict[str, Any]) -> None:
    record = make_record(**changes)
    assert record_from_json(record.to_json()) == record


@pytest.mark.parametrize("part", ["tokens", "encoder", "training"])
def test_a_fingerprint_can_lack_a_part(part: str) -> None:
    record = make_record(fingerprint=dataclasses.replace(FINGERPRINT, **{part: None}))
    assert record_from_json(record.to_json()) == record


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Record) if field.name not in OPTIONAL])
def test_a_record_that_lacks_a_field_is_refused_with_the_fields_name(name: str) -> None:
    plain = make_record().to_json()
    del plain[name]
    assert name in refusal(plain)


PARTS = ["dataset", "recipe", "environment", "weights", "fingerprint", "latency", "floor"]


@pytest.mark.parametrize("part", PARTS)
def test_an_unknown_field_is_refused_with_its_name(part: str) -> None:
    plain = make_record().to_json()
    plain[part]["colour"] = "red"
    with pytest.raises(Sst2Error, match="colour"):
        record_from_json(plain)
    with pytest.raises(Sst2Error, match="colour"):
        record_from_json({**make_record().to_json(), "colour": "red"})


@pytest.mark.parametrize("part", ["train", "evaluation", "tokens", "encoder", "training"])
def test_an_unknown_field_of_a_fingerprint_is_refused_with_its_name(part: str) -> None:
    plain = make_record().to_json()
    plain["fingerprint"][part]["colour"] = "red"
    with pytest.raises(Sst2Error, match="colour"):
        record_from_json(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy_interval", [0.1]),
        ("dataset", None),
        ("recipe", "quick"),
        ("fingerprint", 5),
        ("fingerprint", {"train": {}}),
        ("rounds", [[1, 2]]),
        ("rounds", [{"seconds": 1.0, "phases": 5}]),
        ("latency", []),
        ("predictions", None),
        ("labels", None),
    ],
)
def test_a_part_of_another_type_is_refused(name: str, value: Any) -> None:
    with pytest.raises(Sst2Error, match="not a record: "):
        record_from_json({**make_record().to_json(), name: value})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("cell", 5, "cell is 5, not text"),
        ("model", 5, "model is 5, not text"),
        ("method", None, "method is None, not text"),
        ("seed", None, "seed is None, not a whole number"),
        ("accuracy", "high", "accuracy is 'high', not a number"),
        ("correct", 3.5, "correct is 3.5, not a whole number"),
        ("total", "4", "total is '4', not a whole number"),
        ("recipe_label", None, "recipe_label is None, not text"),
        ("rounds", {}, "rounds is an object of 0, not a list"),
        ("rounds", [], "rounds is empty"),
        ("metrics", [], "metrics is a list of 0, not an object"),
        ("settings", None, "settings is None, not an object"),
        ("predictions", [1, 0, 1], "predictions has 3 values for 4 examples"),
        ("probabilities", [0.9] * 5, "probabilities has 5 values for 4 examples"),
        ("labels", [1, 0, 0], "labels has 3 values for 4 examples"),
        ("labels", [1, 0, 0, 2], "labels has other values than 0 and 1"),
        ("predictions", [1, 0, 0, -1], "predictions has other values than 0 and 1"),
        ("probabilities", [0.9, 0.1, 0.5, 1.001], "a probability is outside 0 to 1"),
        ("probabilities", [0.9, -0.001, 0.5, 1.0], "a probability is outside 0 to 1"),
        ("metrics", {"f1": "high"}, "metrics['f1'] is 'high', not a number"),
        ("metrics", {"f1": True}, "metrics['f1'] is True, not a number"),
        ("metrics", {"f1": None}, "metrics['f1'] is None, not a number"),
    ],
)
def test_an_invalid_value_is_refused_with_its_name_and_itself(name: str, value: Any, reason: str) -> None:
    assert refusal({**make_record().to_json(), name: value}) == f"not a record: {reason}."


def test_a_record_without_examples_is_refused() -> None:
    empty: dict[str, Any] = {"total": 0, "labels": [], "predictions": [], "probabilities": []}
    assert refusal({**make_record().to_json(), **empty}) == "not a record: total is 0."


def test_probabilities_can_be_0_and_1() -> None:
    record = make_record(probabilities=(0.0, 1.0, 0.0, 1.0))
    assert record_from_json(record.to_json()) == record


def test_a_record_can_have_one_example() -> None:
    record = make_record(total=1, correct=1, labels=(1,), predictions=(1,), probabilities=(0.9,))
    assert record_from_json(record.to_json()) == record


@pytest.mark.parametrize(("text", "number"), [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf)])
def test_losses_and_metrics_that_are_not_finite_are_read_back(text: str, number: float) -> None:
    epoch = dataclasses.replace(make_record().epochs[0], train_loss=number)
    plain = make_record(epochs=(epoch,), metrics={"mcc": number}).to_json()
    assert (plain["epochs"][0]["train_loss"], plain["metrics"]) == (text, {"mcc": text})
    record = record_from_json(plain)
    assert str(record.epochs[0].train_loss) == str(record.metrics["mcc"]) == str(number)
    assert (record.epochs[0].number, record.epochs[0].eval_loss, record.epochs[0].eval_accuracy) == (1, 0.5, 0.75)


def test_an_integer_is_read_as_float() -> None:
    value = record_from_json({**make_record().to_json(), "metrics": {"f1": 1}}).metrics["f1"]
    assert (value, type(value)) == (1.0, float)


def _set(path: str, value: Any) -> dict[str, Any]:
    plain = make_record().to_json()
    *parts, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    holder: Any = plain
    for part in parts:
        holder = holder[part]
    holder[last] = value
    return plain


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("accuracy_interval.0", "accuracy_interval.low"),
        ("accuracy_interval.1", "accuracy_interval.high"),
        ("majority_accuracy", "majority_accuracy"),
        ("latency.p50_seconds", "latency.p50_seconds"),
        ("latency.p95_seconds", "latency.p95_seconds"),
        ("dataset.train_size", "dataset.train_size"),
        ("dataset.eval_size", "dataset.eval_size"),
        ("placement.concurrent_workers", "placement.concurrent_workers"),
        ("placement.processes", "placement.processes"),
        ("placement.attempt", "placement.attempt"),
        ("floor.accuracy", "floor.accuracy"),
        ("epochs.0.number", "epochs[0].number"),
        ("rounds.0.seconds", "rounds[0].seconds"),
        ("rounds.1.peak_bytes", "rounds[1].peak_bytes"),
        ("rounds.0.machine_seconds", "rounds[0].machine_seconds"),
        ("rounds.0.peak_growth_bytes", "rounds[0].peak_growth_bytes"),
        ("rounds.0.device_peak_bytes", "rounds[0].device_peak_bytes"),
        ("rounds.1.machine_spread", "rounds[1].machine_spread"),
        ("rounds.0.phases.0.seconds", "rounds[0].phases[0].seconds"),
        ("rounds.1.phases.3.examples", "rounds[1].phases[3].examples"),
    ],
)
@pytest.mark.parametrize("value", ["4", True, []])
def test_a_measured_value_that_is_not_a_number_is_refused(path: str, name: str, value: Any) -> None:
    printed = "a list of 0" if value == [] else repr(value)
    assert re.fullmatch(
        rf"not a record: {re.escape(name)} is {re.escape(printed)}, not a (whole )?number\.", refusal(_set(path, value))
    )


SHARES = [
    ("accuracy", "accuracy"),
    ("accuracy_interval.0", "accuracy_interval.low"),
    ("accuracy_interval.1", "accuracy_interval.high"),
    ("majority_accuracy", "majority_accuracy"),
    ("floor.accuracy", "floor.accuracy"),
]


@pytest.mark.parametrize(("path", "name"), SHARES)
@pytest.mark.parametrize("value", [-0.001, 1.001, "NaN", "Infinity"])
def test_a_share_outside_0_to_1_is_refused(path: str, name: str, value: Any) -> None:
    printed = float(value) if isinstance(value, str) else value
    assert refusal(_set(path, value)) == f"not a record: {name} is {printed}; it must be 0 to 1."


@pytest.mark.parametrize("path", [path for path, _ in SHARES])
@pytest.mark.parametrize("value", [0, 1.0])
def test_a_share_can_be_0_or_1(path: str, value: float) -> None:
    assert record_from_json(_set(path, value)).cell == make_record().cell


@pytest.mark.parametrize("correct", [-1, 5])
def test_correct_is_from_0_to_the_total(correct: int) -> None:
    assert refusal(_set("correct", correct)) == f"not a record: correct is {correct}; it must be 0 to 4."
    assert record_from_json(_set("correct", 0)).correct == 0
    assert record_from_json(_set("correct", 4)).correct == 4


AMOUNTS = [
    "seed",
    *(
        "latency.p50_seconds",
        "latency.p95_seconds",
        "dataset.train_size",
        "dataset.eval_size",
        "placement.concurrent_workers",
    ),
    *(
        f"rounds[1].{name}"
        for name in ("seconds", "peak_bytes", "peak_growth_bytes", "device_peak_bytes", "machine_spread")
    ),
    *("rounds[1].phases[2].seconds", "rounds[1].phases[2].examples"),
]


@pytest.mark.parametrize("name", AMOUNTS)
def test_an_amount_is_from_0_to_1e18(name: str) -> None:
    path = re.sub(r"\[(\d)\]", r".\1", name)
    for value in (-1, 2 * 10**18):
        assert refusal(_set(path, value)) == f"not a record: {name} is {value}; it must be 0 to 1e+18.".replace(
            str(value), str(float(value)) if "seconds" in name or "spread" in name else str(value)
        )
    for value in (0, 10**18):
        assert record_from_json(_set(path, value)).cell == make_record().cell


@pytest.mark.parametrize("name", ["placement.processes", "placement.attempt"])
def test_attempts_and_processes_count_from_1(name: str) -> None:
    assert refusal(_set(name, 0)) == f"not a record: {name} is 0; it must be 1 to 1e+18."
    assert record_from_json(_set(name, 1)).cell == make_record().cell


@pytest.mark.parametrize("values", [[-(2**70)], [2**63], [1, -(2**63)]])
def test_an_integer_in_a_list_has_at_most_64_bits(values: list[int]) -> None:
    with pytest.raises(ValueError, match="a 64-bit whole number"):
        read_plain(tuple[int, ...], values, "labels")
    assert read_plain(tuple[int, ...], [-(2**63) + 1, 2**63 - 1], "labels")


def test_machine_seconds_are_0_or_large_enough_to_divide_by() -> None:
    for value in (-1.0, 1e-13, 2e18):
        reason = f"rounds[0].machine_seconds is {value}; it must be 1e-12 to 1e+18"
        assert refusal(_set("rounds.0.machine_seconds", value)) == f"not a record: {reason}."
    for value in (None, 0, 1e-12, 1e18):
        assert record_from_json(_set("rounds.0.machine_seconds", value)).rounds[0].machine_seconds == value
