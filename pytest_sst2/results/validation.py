"""Records from JSON: of the right types, and with numbers that every report can reckon with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_sst2.results.fingerprint import check_fingerprint
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.typed_json import check_range, read_plain


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Build a Record from what ``Record.to_json`` gave.

    Raises:
        Sst2Error: A field is missing, unknown or of another type, or what it says cannot be.
    """
    try:
        record = read_plain(Record, data)
        _check_answers(record)
        _check_numbers(record)
        if record.fingerprint is not None:
            check_fingerprint(record.fingerprint)
    except ValueError as error:
        raise Sst2Error(f"not a record: {error}.") from error
    return record


def _check_answers(record: Record) -> None:
    """Refuse answers that are none: they would come out as a wrong number instead of a sentence."""
    if record.total < 1:
        raise ValueError(f"total is {record.total}")
    for name in ("labels", "predictions", "probabilities"):
        values = getattr(record, name)
        # A file of the first schema has no labels.
        if len(values) != record.total and (name != "labels" or values):
            raise ValueError(f"{name} has {len(values):,} values for {record.total:,} examples")
        if name != "probabilities" and not set(values) <= {0, 1}:
            raise ValueError(f"{name} has other values than 0 and 1")
    if not all(0 <= value <= 1 for value in record.probabilities):
        raise ValueError("a probability is outside 0 to 1")


# No time, size or count comes near them; with larger ones, sums and quotients leave what a float holds.
_LARGEST_AMOUNT = 1e18
_LEAST_MACHINE_SECONDS = 1e-12


def _check_numbers(record: Record) -> None:
    """Refuse what every report reckons with where it is not finite, or less or more than it can be."""
    if not record.rounds:
        raise ValueError("rounds is empty")
    shares = {
        "accuracy": record.accuracy,
        "accuracy_interval.low": record.accuracy_interval.low,
        "accuracy_interval.high": record.accuracy_interval.high,
        "majority_accuracy": record.majority_accuracy,
        **({"floor.accuracy": record.floor.accuracy} if record.floor else {}),
    }
    for name, value in shares.items():
        check_range(name, value, 0, 1)
    check_range("correct", record.correct, 0, record.total)
    for name, least, amount in _amounts(record):
        if amount is not None:
            check_range(name, amount, least, _LARGEST_AMOUNT)


def _amounts(record: Record) -> Iterator[tuple[str, float, float | None]]:
    """Give each time, size and count with its name and the least it can be; None where it was not measured."""
    yield from (
        ("seed", 0, record.seed),
        ("latency.p50_seconds", 0, record.latency.p50_seconds),
        ("latency.p95_seconds", 0, record.latency.p95_seconds),
        ("dataset.train_size", 0, record.dataset.train_size),
        ("dataset.eval_size", 0, record.dataset.eval_size),
        ("placement.concurrent_workers", 0, record.placement.concurrent_workers),
        ("placement.processes", 1, record.placement.processes),
        ("placement.attempt", 1, record.placement.attempt),
    )
    for number, made in enumerate(record.rounds):
        for name in ("seconds", "peak_bytes", "peak_growth_bytes", "device_peak_bytes", "machine_spread"):
            yield f"rounds[{number}].{name}", 0, getattr(made, name)
        # Times are divided by it, where it is something.
        yield f"rounds[{number}].machine_seconds", _LEAST_MACHINE_SECONDS, made.machine_seconds or None
        for place, phase in enumerate(made.phases):
            yield f"rounds[{number}].phases[{place}].seconds", 0, phase.seconds
            yield f"rounds[{number}].phases[{place}].examples", 0, phase.examples
