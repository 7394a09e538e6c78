"""Fingerprint: small values that tell, when a number has moved, in which step of a cell the change began.

Light: only the values are here. ``witness`` takes them while a cell runs, ``drift`` compares two of them.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowsFingerprint:
    """Which rows were used.

    Attributes:
        sentences: Digest of the sentences, whatever their order.
        labels: The labels in the order of the sorted sentences, one bit each, in base64.
        order: Digest of the sentences in the order used.
        count: Rows.
        distinct: Different sentences among them.
    """

    sentences: str
    labels: str
    order: str
    count: int
    distinct: int


@dataclass(frozen=True)
class TokensFingerprint:
    """What the tokenizer made of the fixed sentences.

    Attributes:
        tokenizer: Its class.
        vocabulary: Tokens it knows.
        ids: A digest of four bytes for each sentence's ids, in base64.
        lengths: Tokens of each sentence, special ones included.
    """

    tokenizer: str
    vocabulary: int
    ids: str
    lengths: Sequence[int]


@dataclass(frozen=True)
class EncoderFingerprint:
    """The encoder as it was loaded, before any training.

    Attributes:
        dtype: Type of the weights, such as ``float32``.
        attention: Which implementation of attention, such as ``sdpa``; empty where unknown.
        parts: From a part's name (a layer, the embeddings, the head) to a digest of its weights.
        sketch: The fixed sentences' embeddings, each projected onto the same two random directions: 64 × 2 float32,
            half a KB, in base64. Cosines and lengths survive such a projection well enough to be compared
            (Johnson and Lindenstrauss 1984, Contemporary Mathematics 26).
        length: Mean Euclidean length of the embeddings.
        dimensions: Numbers in one embedding.
    """

    dtype: str
    attention: str
    parts: Mapping[str, str]
    sketch: str
    length: float
    dimensions: int


@dataclass(frozen=True)
class CourseFingerprint:
    """How the optimisation went; None where a method has no such thing.

    Attributes:
        steps: Steps or iterations done.
        last_gradient: Largest absolute gradient of the mean loss at the end.
        first_loss: Training loss of the first batch.
        first_gradient_norm: Norm of its gradient, before clipping.
        learning_rate: The highest learning rate of any step, as the optimiser had it.
        order: Digest of the training rows in the order the optimiser saw them.
    """

    steps: int
    last_gradient: float | None = None
    first_loss: float | None = None
    first_gradient_norm: float | None = None
    learning_rate: float | None = None
    order: str | None = None


@dataclass(frozen=True)
class Fingerprint:
    """All of one cell.

    Attributes:
        fixed_sentences: Digest of the fixed sentences themselves; fingerprints of other ones are not compared.
        train: The training rows.
        evaluation: The evaluation rows.
        logits: Log-odds the trained classifier gave the fixed sentences: 64 float32, in base64.
        second_pass: The largest change of such a probability when the classifier was asked again.
        tokens: None for methods without a tokenizer.
        encoder: None for methods without an encoder.
        course: None for methods that optimise nothing.
    """

    fixed_sentences: str
    train: RowsFingerprint
    evaluation: RowsFingerprint
    logits: str
    second_pass: float
    tokens: TokensFingerprint | None = None
    encoder: EncoderFingerprint | None = None
    course: CourseFingerprint | None = None


def fingerprint_from_json(data: Mapping[str, Any]) -> Fingerprint:
    """Build a Fingerprint from plain values.

    Raises:
        KeyError, TypeError: A field is missing, unknown or of another shape.
    """
    fields = dict(data)
    for name in ("train", "evaluation"):
        fields[name] = RowsFingerprint(**fields[name])
    if fields["tokens"] is not None:
        fields["tokens"] = TokensFingerprint(**{**fields["tokens"], "lengths": tuple(fields["tokens"]["lengths"])})
    if fields["encoder"] is not None:
        fields["encoder"] = EncoderFingerprint(**fields["encoder"])
    if fields["course"] is not None:
        fields["course"] = CourseFingerprint(**fields["course"])
    return Fingerprint(**fields)


def packed_bits(values: Sequence[int]) -> str:
    """Return zeros and ones as base64, eight to a byte, the first in the highest bit; the last byte is filled up."""
    data = bytearray((len(values) + 7) // 8)
    for index, value in enumerate(values):
        if value:
            data[index // 8] |= 0x80 >> index % 8
    return base64.b64encode(data).decode()


def unpacked_bits(text: str, count: int) -> tuple[int, ...]:
    """Return the first ``count`` bits of what ``packed_bits`` made.

    Raises:
        ValueError: It is not base64, or does not hold ``count`` bits.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) != (count + 7) // 8:
        raise ValueError(f"{len(data)} bytes for {count} bits")
    return tuple(data[index // 8] >> (7 - index % 8) & 1 for index in range(count))


def packed_floats(values: Sequence[float]) -> str:
    """Return numbers as base64 of little-endian float32."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def unpacked_floats(text: str) -> tuple[float, ...]:
    """Return what ``packed_floats`` was given, at float32's precision.

    Raises:
        ValueError: It is not base64, or no whole number of floats.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no whole number of float32")
    return struct.unpack(f"<{len(data) // 4}f", data)
