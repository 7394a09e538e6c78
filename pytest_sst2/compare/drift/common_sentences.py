"""Align parts of two fingerprints that are about different numbers of probe sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pytest_sst2.results.probe_sentences import numbers_of
from pytest_sst2.results.record import Record


def common_sentences(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of the probe sentences that both arrays have a row of, and these rows of each array.

    Before 0.4.0 an array has a row for each of the 64 sentences, in their order; later, for some of them.
    """
    numbers = [numbers_of(len(rows)) for rows in (one, other)]
    common = [number for number in numbers[1] if number in set(numbers[0])]
    first, second = (
        rows[[of_side.index(number) for number in common]] for rows, of_side in zip((one, other), numbers, strict=True)
    )
    return np.array(common, dtype=int), first, second


def without_other_sentences(before: Record, after: Record) -> tuple[Record, Record]:
    """Return the records without the outputs of modules and the fixed batches, unless these are of the same sentences.

    They are sums over sentences that a development version chose otherwise, together with the embedded ones.
    """
    old, new = (record.fingerprint.encoder if record.fingerprint else None for record in (before, after))
    if old is None or new is None or len(old.sketch) == len(new.sketch):
        return before, after
    return _without_sums(before), _without_sums(after)


def _without_sums(record: Record) -> Record:
    fingerprint = record.fingerprint
    if fingerprint is None or fingerprint.encoder is None:
        return record
    training = fingerprint.training and replace(fingerprint.training, fixed_batch=None)
    encoder = replace(fingerprint.encoder, modules=None)
    return replace(record, fingerprint=replace(fingerprint, encoder=encoder, training=training))
