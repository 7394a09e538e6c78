"""Validation of records from JSON: types, ranges of numbers, and packed parts of fingerprints."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType
from typing import Any, get_args, get_type_hints

from pytest_sst2.results.fingerprint import (
    SAME_TOKEN_IDS,
    EncoderFingerprint,
    Fingerprint,
    RowSketches,
    TensorSketches,
    TokensFingerprint,
    TrainingFingerprint,
)
from pytest_sst2.results.packing import (
    SHARED,
    UNPACKING_ERRORS,
    check_bits,
    unpacked_bytes,
    unpacked_digests,
    unpacked_floats,
    unpacked_text,
)
from pytest_sst2.results.probe_sentences import (
    answered_sentences,
    embedded_sentences,
    probe_sentences,
    probe_sentences_digest,
)
from pytest_sst2.results.record import Record
from pytest_sst2.results.training_steps import kept_steps
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.typed_json import ReadMapping, check_range, read_plain

# Measured times, sizes and counts are far smaller. Sums and quotients of larger ones would overflow a float.
_LARGEST_AMOUNT = 1e18
_LEAST_MACHINE_SECONDS = 1e-12
# A training of more steps than this would take years.
_MOST_STEPS = 10**10


def read_shared_parts(records: Sequence[Mapping[str, Any]]) -> None:
    """Replace the parts that several records share by what ``record_from_json`` makes of them, once for all records."""
    for *parents, name in SHARED:
        hint: Any = Record
        for parent in (*parents, name):
            hint = _without_none(get_type_hints(_without_none(hint))[parent])
        read: dict[int, Any] = {}
        for record in records:
            holder: Any = record
            for parent in parents:
                holder = holder and holder.get(parent)
            part = holder and holder.get(name)
            if isinstance(part, dict):
                if id(part) not in read:
                    value = read_plain(hint, part, ".".join((*parents, name)))
                    read[id(part)] = ReadMapping(value) if isinstance(value, dict) else value
                holder[name] = read[id(part)]


def _without_none(hint: Any) -> Any:
    return next((kind for kind in get_args(hint) if kind is not NoneType), hint) if NoneType in get_args(hint) else hint


def record_from_json(data: Mapping[str, Any]) -> Record:
    """Return the Record that ``Record.to_json`` converted.

    Raises:
        Sst2Error: A field is missing, unknown, of another type, or outside its range.
    """
    try:
        record = read_plain(Record, data)
        _check_predictions(record)
        _check_numbers(record)
        if record.fingerprint is not None:
            _check_fingerprint(record.fingerprint)
    except ValueError as error:
        raise Sst2Error(f"not a record: {error}.") from error
    return record


def _check_predictions(record: Record) -> None:
    """Raise if labels, predictions or probabilities are invalid or not one per example."""
    if record.total < 1:
        raise ValueError(f"total is {record.total}")
    for name in ("labels", "predictions", "probabilities"):
        values = getattr(record, name)
        # Files of schema version 1 have no labels.
        if len(values) != record.total and (name != "labels" or values):
            raise ValueError(f"{name} has {len(values):,} values for {record.total:,} examples")
        if name != "probabilities" and not set(values) <= {0, 1}:
            raise ValueError(f"{name} has other values than 0 and 1")
    if not all(0 <= value <= 1 for value in record.probabilities):
        raise ValueError("a probability is outside 0 to 1")


def _check_numbers(record: Record) -> None:
    """Raise if a number that reports calculate with is not finite or outside its range."""
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
    """Yield the name, minimum and value of each time, size and count; a value is None if it was not measured."""
    yield from (
        ("seed", 0, record.seed),
        ("latency.p50_seconds", 0, record.latency.p50_seconds),
        ("latency.p95_seconds", 0, record.latency.p95_seconds),
        ("latency.delay_seconds", 0, record.latency.delay_seconds),
        ("dataset.train_size", 0, record.dataset.train_size),
        ("dataset.eval_size", 0, record.dataset.eval_size),
        ("placement.concurrent_workers", 0, record.placement.concurrent_workers),
        ("placement.processes", 1, record.placement.processes),
        ("placement.attempt", 1, record.placement.attempt),
    )
    for number, measured in enumerate(record.rounds):
        for name in ("seconds", "peak_bytes", "peak_growth_bytes", "device_peak_bytes", "machine_spread"):
            yield f"rounds[{number}].{name}", 0, getattr(measured, name)
        # Zero counts as not measured: times are divided by any other value.
        yield f"rounds[{number}].machine_seconds", _LEAST_MACHINE_SECONDS, measured.machine_seconds or None
        for place, phase in enumerate(measured.phases):
            for name in ("seconds", "examples", "delay_seconds"):
                yield f"rounds[{number}].phases[{place}].{name}", 0, getattr(phase, name)


def _check_fingerprint(fingerprint: Fingerprint) -> None:
    """Raise if a packed part cannot be unpacked, or is of another number of sentences than it should be."""
    answered = len(_unpacked("logits", unpacked_floats, fingerprint.logits))
    if fingerprint.prediction_token_ids != SAME_TOKEN_IDS:
        token_ids = _unpacked("prediction_token_ids", unpacked_digests, fingerprint.prediction_token_ids)
        _check_sizes({"prediction_token_ids": len(token_ids) or answered}, (answered,))
    for name in ("train", "evaluation"):
        rows = getattr(fingerprint, name)
        _unpacked(f"{name}.labels", functools.partial(check_bits, count=rows.count), rows.labels)
        if (size := len(_unpacked(f"{name}.blocks", unpacked_bytes, rows.blocks))) % 2 or size > 2 * rows.count:
            raise ValueError(f"fingerprint.{name}.blocks has {size} bytes for {rows.count:,} rows")
    if fingerprint.fixed_sentences == probe_sentences_digest():
        _check_sizes({"logits": answered}, (len(probe_sentences()), len(answered_sentences())))
    check_loaded_model(fingerprint.tokens, fingerprint.encoder)
    if fingerprint.rows is not None:
        _check_rows(fingerprint.rows)
    if fingerprint.training is not None:
        _check_training(fingerprint.training)


def check_loaded_model(tokens: TokensFingerprint | None, encoder: EncoderFingerprint | None) -> None:
    """Raise if a packed part cannot be unpacked, or is not of all probe sentences or of the embedded ones."""
    every, some = len(probe_sentences()), len(embedded_sentences())
    if tokens is not None:
        ids = _unpacked("tokens.ids", unpacked_digests, tokens.ids)
        _check_sizes({"tokens.ids": len(ids), "tokens.lengths": len(tokens.lengths)}, (every,))
        _unpacked("tokens.pieces", unpacked_text, tokens.pieces)
    if encoder is not None:
        embedded = len(_unpacked("encoder.sketch", unpacked_floats, encoder.sketch)) / 2
        hidden = len(_unpacked("encoder.hidden", unpacked_floats, encoder.hidden)) / 2
        _check_sizes({"encoder.sketch": embedded, "encoder.hidden": hidden or embedded}, (every, some))
        if encoder.tensors is not None:
            _check_tensors(encoder.tensors)
        if encoder.modules is not None:
            names = _unpacked("encoder.modules.names", unpacked_text, encoder.modules.names)
            unpack = functools.partial(unpacked_floats, compressed=True)
            floats = _unpacked("encoder.modules.sketch", unpack, encoder.modules.sketch)
            _check_per_name("encoder.modules", names, len(floats) / 5)


def _check_sizes(sizes: Mapping[str, float], allowed: Sequence[int]) -> None:
    for name, size in sizes.items():
        if size not in allowed:
            raise ValueError(f"fingerprint.{name} is of {size:g} sentences, not of {' or '.join(map(str, allowed))}")


def _check_training(training: TrainingFingerprint) -> None:
    """Raise if the evidence of the steps does not match the numbers of modules, kept steps and groups."""
    if (batch := training.fixed_batch) is not None:
        names = _unpacked("training.fixed_batch.modules", unpacked_text, batch.modules)
        gradients = _unpacked("training.fixed_batch.gradients", unpacked_floats, batch.gradients)
        _check_per_name("training.fixed_batch.gradients", names, len(gradients) / 2)
        _unpacked("training.fixed_batch.logits", unpacked_floats, batch.logits)
    if (steps := training.watched) is not None:
        check_range("training.steps", training.steps, 0, _MOST_STEPS)
        kept, groups = len(kept_steps(training.steps)), len(steps.group_sizes)
        sizes = (("trace", 3 * kept), ("rates", kept * groups), ("first_updates", 4 * groups))
        for name, size in (*sizes, ("distances", None), ("logits", None)):
            count = len(_unpacked(f"training.watched.{name}", unpacked_floats, getattr(steps, name)))
            if count and size is not None and (count != size if name != "first_updates" else count > size):
                raise ValueError(f"fingerprint.training.watched.{name} has {count} values, not {size}")


def _check_tensors(tensors: TensorSketches) -> None:
    names = _unpacked("encoder.tensors.names", unpacked_text, tensors.names)
    for field, unpack, size in (
        ("digests", unpacked_digests, 1),
        ("grids", functools.partial(unpacked_bytes, compressed=True), 2),
        ("sketch", unpacked_bytes, 10),
    ):
        values = _unpacked(f"encoder.tensors.{field}", unpack, getattr(tensors, field))
        _check_per_name(f"encoder.tensors.{field}", names, len(values) / size)


def _check_per_name(name: str, names: Sequence[Any], size: float) -> None:
    count = len(str(names).splitlines()) if names else 0
    if size != count:
        raise ValueError(f"fingerprint.{name} has {size:g} entries for {count} names")


def _check_rows(rows: RowSketches) -> None:
    """Raise if the sketches of rows are not of one number of rows and of one number of blocks."""
    tokens = _unpacked("rows.tokens", unpacked_bytes, rows.tokens)
    embeddings = _unpacked("rows.embeddings", functools.partial(unpacked_bytes, compressed=True), rows.embeddings)
    if len(embeddings) > len(tokens) or len(tokens) % 2 or len(embeddings) % 2:
        raise ValueError(f"fingerprint.rows has {len(tokens) / 2:g} tokens and {len(embeddings) / 2:g} embeddings")
    blocks = _unpacked("rows.train_tokens", unpacked_bytes, rows.train_tokens)
    sums = _unpacked("rows.train_embeddings", unpacked_floats, rows.train_embeddings)
    if len(blocks) != 2 * len(sums):
        raise ValueError(f"fingerprint.rows has {len(blocks) / 2:g} blocks of tokens and {len(sums)} of embeddings")


def _unpacked(name: str, unpack: Callable[[str], Sequence[Any] | None], text: str) -> Sequence[Any]:
    try:
        return (unpack(text) if text else None) or ()
    except UNPACKING_ERRORS as error:
        raise ValueError(f"fingerprint.{name} cannot be unpacked: {error}") from error
