"""Packed form of records, as baselines use it: arrays in base64, and the parts that records share once, compressed.

Bits, floats, digests and texts of a fingerprint are packed in every file; whole records only in baselines. Functions
named ``unpack…`` raise one of ``UNPACKING_ERRORS`` for a damaged text.
"""

from __future__ import annotations

import base64
import copy
import functools
import json
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_sst2.results.probe_sentences import probe_sentences
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.sanitize import plain_json

_FINGERPRINT = ("fingerprint",)
# Parts of a record that are often equal in many records of a run, inner ones first. Files of every schema version since
# 2 have them.
SHARED = (
    *((name,) for name in ("environment", "dataset", "recipe", "weights", "settings", "labels")),
    *(("fingerprint", name) for name in ("train", "evaluation", "tokens")),
    *(("fingerprint", "encoder", name) for name in ("parts", "sketch", "hidden", "config")),
    # Files before 0.4.0 lack them.
    *(("fingerprint", "encoder", name) for name in ("tensors", "modules")),
    *(("fingerprint", "training", "fixed_batch", name) for name in ("inputs", "modules")),
    ("fingerprint", "training", "watched", "rates"),
    *(("fingerprint", "rows", name) for name in ("tokens", "embeddings", "train_tokens", "train_embeddings")),
    _FINGERPRINT,
)
# Fields on the line of a record; a shared part has the rest.
_LINE = ("cell", "accuracy", "total")
_REST = "rest"
# A packed probability has steps of 1/4095: a tenth of a pixel of any plot, and far below the effect of another seed.
_STEPS = 4095
PROBABILITY_STEP = 1 / _STEPS
# Larger texts are truncated, because a damaged file could unpack to any size.
_LONGEST_TEXT = 2**20
UNPACKING_ERRORS = (ValueError, struct.error, zlib.error)


def json_line(value: Any) -> str:
    """Return a value as JSON on one line, with unprintable characters escaped."""
    return plain_json(json.dumps(value, ensure_ascii=False, separators=(", ", ": ")))


def pack_record(record: dict[str, Any], shared: list[str]) -> dict[str, Any]:
    """Return the line of a record in a packed file; its other parts are indices into ``shared``.

    ``record`` is from ``Record.to_json`` and is changed. The JSON texts of new shared parts are appended to ``shared``.
    """
    record["probabilities"] = _packed_probabilities(record["probabilities"], record["predictions"])
    record["predictions"] = packed_bits(record["predictions"])
    record["labels"] = {"count": len(record["labels"]), "bits": packed_bits(record["labels"])}
    for path in SHARED:
        parent, name = _parent(record, path)
        if parent is not None and parent.get(name) is not None:
            parent[name] = _index(json_line(parent[name]), shared)
    line = {name: record.pop(name) for name in _LINE}
    return {**line, _REST: _index(json_line(record), shared)}


def _index(part: str, shared: list[str]) -> int:
    """Return the index of a part in ``shared``, to which a new one is appended."""
    if part not in shared:
        shared.append(part)
    return shared.index(part)


def unpack_record(packed: Mapping[str, Any], shared: Sequence[Any]) -> dict[str, Any]:
    """Return the plain form of a record that ``pack_record`` made. Equal parts of records become one object.

    Raises:
        ValueError, zlib.error: An index or an array is not valid.
        KeyError, TypeError: A part is missing or of another type.
    """
    record = {**packed}
    if _REST in record:  # files of earlier releases have all fields on the line
        record = {**_part(record.pop(_REST), shared, _REST), **record}
    for path in reversed(SHARED):
        parent, name = _parent(record, path)
        index = parent.get(name) if parent is not None else None
        # Files of earlier releases have each fingerprint in its record.
        if parent is None or index is None or (path == _FINGERPRINT and isinstance(index, dict)):
            continue
        part = _part(index, shared, ".".join(path))
        parent[name] = copy.deepcopy(part) if path == _FINGERPRINT else part
    record["labels"] = unpacked_bits(record["labels"]["bits"], record["labels"]["count"])
    record["predictions"] = unpacked_bits(record["predictions"], record["total"])
    record["probabilities"] = _unpacked_probabilities(record["probabilities"], record["predictions"])
    return record


def _part(index: Any, shared: Sequence[Any], name: str) -> Any:
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(shared):
        raise ValueError(f"{name} refers to part {quoted(index)} of {len(shared)}")
    return shared[index]


def check_unpacked_size(records: Sequence[Mapping[str, Any]], shared: Sequence[Any], largest: int) -> None:
    """Raise ``ValueError`` if the records would have more characters with their shared parts than a plain file may."""
    sizes = [len(json.dumps(part)) for part in shared]
    total = 0
    for record in records:
        resolved = {**record}
        for path in ((_REST,), *reversed(SHARED)):
            parent, name = _parent(resolved, path)
            index = parent.get(name) if parent is not None else None
            if type(index) is int and 0 <= index < len(sizes):
                total += sizes[index]
                if path == _FINGERPRINT:
                    resolved["fingerprint"] = shared[index]
                elif name == _REST:
                    resolved = {**shared[index], **resolved}
                if total > largest:
                    raise ValueError(f"its records refer to shared parts of more than {largest / 2**20:,.0f} MB")


def check_bits(text: str, count: int) -> None:
    """Raise unless a text has ``count`` bits as ``packed_bits`` packs them."""
    data = base64.b64decode(text, validate=True)
    if len(data) != (count + 7) // 8:
        raise ValueError(f"{len(data)} bytes for {count} bits")


def _parent(record: dict[str, Any], path: Sequence[str]) -> tuple[dict[str, Any] | None, str]:
    """Return the mapping that has the last name of a path, and this name; None if the record lacks the mapping."""
    parent: Any = record
    for name in path[:-1]:
        parent = parent.get(name) if isinstance(parent, dict) else None
    return parent if isinstance(parent, dict) else None, path[-1]


def _packed_probabilities(values: Sequence[float], predictions: Sequence[int]) -> str:
    """Return the probabilities of the class that was not predicted, as compressed 16-bit numbers."""
    steps = [round(abs(predicted - value) * _STEPS) for value, predicted in zip(values, predictions, strict=True)]
    return packed_bytes(struct.pack(f"<{len(steps)}H", *steps), compressed=True, width=2)


def _unpacked_probabilities(text: str, predictions: Sequence[int]) -> tuple[float, ...]:
    count = len(predictions)
    planes = _inflated(base64.b64decode(text, validate=True), 2 * count + 1)
    # Earlier releases compressed all high bytes and then all low bytes as one.
    low, high = planes if len(planes) == 2 else (planes[0][count:], planes[0][:count])
    if not len(low) == len(high) == count:
        raise ValueError(f"{len(low) + len(high)} bytes for {count} probabilities")
    known = _probabilities_of_steps()
    places = zip(predictions, high, low, strict=True)
    try:
        return tuple(known[predicted][256 * high + low] for predicted, high, low in places)
    except IndexError:
        raise ValueError("a probability is more than 1") from None


@functools.cache
def _probabilities_of_steps() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return all probabilities that a packed file can have, by their steps: predicted negative, predicted positive."""
    negative = tuple(round(step / _STEPS, 6) for step in range(_STEPS + 1))
    return negative, tuple(round(1 - step / _STEPS, 6) for step in range(_STEPS + 1))


def packed_bits(values: Sequence[int]) -> str:
    """Return zeros and ones as base64: eight per byte, highest bit first, the last byte padded with zeros."""
    data = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        if value:
            data[index // 8] |= 0x80 >> index % 8
    return base64.b64encode(data).decode()


def unpacked_bits(text: str, count: int) -> tuple[int, ...]:
    """Return the ``count`` bits that ``packed_bits`` packed."""
    check_bits(text, count)
    bits = _bits_of_bytes()
    return tuple(bit for byte in base64.b64decode(text) for bit in bits[byte])[:count]


@functools.cache
def _bits_of_bytes() -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(byte >> place & 1 for place in range(7, -1, -1)) for byte in range(256))


def packed_floats(values: Sequence[float], *, compressed: bool = False) -> str:
    """Return numbers as base64 of little-endian float32, ``compressed`` or as they are."""
    return packed_bytes(struct.pack(f"<{len(values)}f", *values), compressed=compressed)


def unpacked_floats(text: str, *, compressed: bool = False) -> tuple[float, ...]:
    """Return the numbers that ``packed_floats`` packed, with the precision of float32."""
    data = unpacked_bytes(text, compressed=compressed)
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are not a whole number of float32")
    return struct.unpack(f"<{len(data) // 4}f", data)


def packed_digests(digests: Iterable[bytes]) -> str:
    """Return digests of 4 bytes each as base64, one after the other."""
    return packed_bytes(b"".join(digests))


def unpacked_digests(text: str) -> list[bytes]:
    """Return the digests that ``packed_digests`` packed."""
    data = unpacked_bytes(text)
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are not a whole number of digests")
    return [data[start : start + 4] for start in range(0, len(data), 4)]


def packed_bytes(data: bytes, *, compressed: bool = False, width: int = 1) -> str:
    """Return bytes as base64, ``compressed`` by zlib or as they are.

    Of numbers of ``width`` bytes, the first bytes are compressed together, then the second ones and so on.
    """
    if compressed:
        data = b"".join(_deflated(data[place::width]) for place in range(width))
    return base64.b64encode(data).decode()


def unpacked_bytes(text: str, *, compressed: bool = False) -> bytes:
    """Return the bytes that ``packed_bytes`` packed, at most 1 MiB of each place of compressed ones."""
    data = base64.b64decode(text, validate=True)
    if not compressed:
        return data
    planes = _inflated(data, _LONGEST_TEXT)
    joined = bytearray(sum(map(len, planes)))
    for place, plane in enumerate(planes):
        joined[place :: len(planes)] = plane
    return bytes(joined)


def _deflated(data: bytes) -> bytes:
    """Return compressed bytes: with known words, or without copies from earlier bytes if that is shorter."""
    words, numbers = zlib.compressobj(9, zdict=_known_words()), zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    return min((packing.compress(data) + packing.flush() for packing in (words, numbers)), key=len)


def _inflated(data: bytes, largest: int) -> list[bytes]:
    """Return the content of each of some compressed texts, at most ``largest`` bytes of it."""
    texts: list[bytes] = []
    while data or not texts:
        # Files of earlier releases do not use the dictionary, and zlib does not either when it reads them.
        unpacking = zlib.decompressobj(zdict=_known_words())
        texts.append(unpacking.decompress(data, largest))
        data = unpacking.unused_data
    return texts


@functools.cache
def _known_words() -> bytes:
    """Return the probe sentences in lower case, in which zlib finds most of their tokens."""
    return "\n".join(probe_sentences()).lower().encode()


def packed_text(text: str) -> str:
    """Return text as base64 of its compressed UTF-8."""
    return packed_bytes(text.encode(), compressed=True)


def unpacked_text(packed: str) -> str:
    """Return the text that ``packed_text`` packed, at most 1 MiB of it."""
    return unpacked_bytes(packed, compressed=True).decode(errors="replace")
