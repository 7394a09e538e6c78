"""Fingerprint: small values that tell, when a number has moved, in which step of a cell the change began.

Light: only the values are here. ``witness`` takes them while a cell runs, ``drift`` compares two of them.
"""

from __future__ import annotations

import base64
import functools
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Parts of a model that are drawn anew for every training.
HEADS = frozenset({"classifier", "pre_classifier", "score", "head"})
# Pieces of each fixed sentence that are kept as text: enough to show where two tokenizers part.
KEPT_PIECES = 32
# The most a probability may move when the classifier predicts twice: half precision stays below this.
REPEAT_TOLERANCE = 1e-3
# A regression that reached its tolerance ends with a gradient well below this; one that was stopped, well above.
CONVERGED_GRADIENT = 1e-3
# No more is unpacked, whatever a file says.
_LONGEST_TEXT = 2**20


@dataclass(frozen=True)
class RowsFingerprint:
    """Which rows were used.

    Attributes:
        sentences: Digest of the sentences, whatever their order.
        labels: The labels in the order of the sorted sentences, one bit each, in base64.
        order: Digest of the sentences in the order used.
        count: Rows.
        distinct: Different sentences among them.
        normalized_digest: Digest of the sentences without spaces, case and accents, whatever their order.
    """

    sentences: str
    labels: str
    order: str
    count: int
    distinct: int
    normalized_digest: str = ""


@dataclass(frozen=True)
class TokensFingerprint:
    """What the tokenizer made of the fixed sentences.

    Attributes:
        tokenizer: Its class.
        vocabulary: Tokens it knows.
        ids: A digest of four bytes for each sentence's ids, in base64. They are those that the encoder read, a prompt
            included, where that could be seen.
        lengths: Tokens of each sentence, special ones included.
        pieces: The same as text, the first of each sentence, packed (see ``packed_text``).
    """

    tokenizer: str
    vocabulary: int
    ids: str
    lengths: Sequence[int]
    pieces: str = ""


@dataclass(frozen=True)
class EncoderFingerprint:
    """The encoder as it was loaded, before any training.

    Attributes:
        dtype: Type of the weights, such as ``float32``.
        autocast: Type that autocast computes in; empty where it is off or that could not be seen.
        attention: Which implementation of attention, such as ``sdpa``; empty where unknown.
        parts: From a part's name (a layer, the embeddings, the head) to a digest of its weights.
        sketch: The fixed sentences' embeddings, each projected onto the same two random directions: 64 × 2 float32,
            half a KB, in base64. Cosines and lengths survive such a projection well enough to be compared
            (Johnson and Lindenstrauss 1984, Contemporary Mathematics 26).
        length: Mean Euclidean length of the embeddings.
        dimensions: Numbers in one embedding.
        effective_dtype: The narrowest type that holds every weight without loss.
        config: Values of the model's config that decide what it computes.
        pooling: How an embedding follows from the last hidden states, found by trial: ``mean``, ``cls``, ``max``,
            ``lasttoken``; empty where it is none of these.
        hidden: A sketch, like the one of the embeddings, of each sentence's mean last hidden state.
        nondeterminism: Share by which embeddings differ when the same sentences are embedded again.
        batch_sensitivity: Share by which an embedding differs from that of the sentence embedded alone.
    """

    dtype: str
    attention: str
    parts: Mapping[str, str]
    sketch: str
    length: float
    dimensions: int
    effective_dtype: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    pooling: str = ""
    hidden: str = ""
    nondeterminism: float = 0.0
    batch_sensitivity: float = 0.0
    autocast: str = ""


@dataclass(frozen=True)
class TrainingFingerprint:
    """How the optimisation went; None where a method has no such thing.

    Attributes:
        steps: Steps or iterations done.
        last_gradient: Largest absolute gradient of the mean loss at the end.
        first_loss: Training loss of the first batch.
        first_gradient_norm: Norm of its gradient, before clipping.
        learning_rate: The highest learning rate of any step, as the optimiser had it.
        order: Digest of the training rows in the order the optimiser saw them; after a colon, whatever their order.
        mean_learning_rate: That of all steps.
        optimizer: Class and options of the optimiser, as they were in its first step.
        first_update: Root mean square of what the first step changed in the smaller tensors.
        first_batch: Digests of the token ids and of the labels that the model itself was given first in training,
            parted by a colon, whatever their order; empty where that could not be seen.
        autocast: Type that autocast computed that batch in, empty without; None where that could not be seen.
        trained: Parts of the encoder, as in ``EncoderFingerprint.parts``, whose weights the training changed.
        weights: Digest of all weights of the encoder, head included, after training.
    """

    steps: int
    last_gradient: float | None = None
    first_loss: float | None = None
    first_gradient_norm: float | None = None
    learning_rate: float | None = None
    order: str | None = None
    mean_learning_rate: float | None = None
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    first_update: float | None = None
    first_batch: str = ""
    autocast: str | None = None
    trained: Sequence[str] | None = None
    weights: str = ""


@dataclass(frozen=True)
class Fingerprint:
    """All of one cell.

    Attributes:
        fixed_sentences: Digest of the fixed sentences themselves; fingerprints of other ones are not compared.
        train: The training rows.
        evaluation: The evaluation rows.
        logits: Log-odds the trained classifier gave the fixed sentences: 64 float32, in base64.
        repeat_max_diff: The largest change of such a probability when the classifier was asked again.
        tokens: None for methods without a tokenizer.
        encoder: None for methods without an encoder.
        training: None for methods that optimise nothing.
        prediction_token_ids: Digests of the token ids that the trained classifier read when it was asked, as in
            ``TokensFingerprint.ids`` but sorted; empty where that could not be seen.
    """

    fixed_sentences: str
    train: RowsFingerprint
    evaluation: RowsFingerprint
    logits: str
    repeat_max_diff: float
    tokens: TokensFingerprint | None = None
    encoder: EncoderFingerprint | None = None
    training: TrainingFingerprint | None = None
    prediction_token_ids: str = ""


def check_fingerprint(fingerprint: Fingerprint) -> None:
    """Refuse a fingerprint whose packed parts cannot be unpacked, or are not of as many sentences as the others.

    Raises:
        ValueError: Which part, and why.
    """
    count = len(_unpacked("logits", unpacked_floats, fingerprint.logits))
    sizes: dict[str, float] = {
        "prediction_token_ids": len(
            _unpacked("prediction_token_ids", unpacked_digests, fingerprint.prediction_token_ids)
        )
        or count
    }
    for name in ("train", "evaluation"):
        rows = getattr(fingerprint, name)
        _unpacked(f"{name}.labels", functools.partial(unpacked_bits, count=rows.count), rows.labels)
    if (tokens := fingerprint.tokens) is not None:
        sizes["tokens.ids"] = len(_unpacked("tokens.ids", unpacked_digests, tokens.ids))
        sizes["tokens.lengths"] = len(tokens.lengths)
        _unpacked("tokens.pieces", unpacked_text, tokens.pieces)
    if (encoder := fingerprint.encoder) is not None:
        sizes["encoder.sketch"] = len(_unpacked("encoder.sketch", unpacked_floats, encoder.sketch)) / 2
        sizes["encoder.hidden"] = len(_unpacked("encoder.hidden", unpacked_floats, encoder.hidden)) / 2 or count
    for name, size in sizes.items():
        if size != count:
            raise ValueError(f"fingerprint.{name} is of {size:g} sentences, its logits of {count}")


def _unpacked(name: str, unpack: Callable[[str], Sequence[Any]], text: str) -> Sequence[Any]:
    try:
        return unpack(text) if text else ()
    except (ValueError, zlib.error) as error:
        raise ValueError(f"fingerprint.{name} cannot be unpacked: {error}") from error


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
    bits = _bits_of_bytes()
    return tuple(bit for byte in data for bit in bits[byte])[:count]


@functools.cache
def _bits_of_bytes() -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(byte >> place & 1 for place in range(7, -1, -1)) for byte in range(256))


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


def unpacked_digests(text: str) -> list[bytes]:
    """Return the digests, of four bytes each, that stand in base64 one after the other.

    Raises:
        ValueError: It is not base64, or no whole number of them.
    """
    data = base64.b64decode(text, validate=True)
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no whole number of digests")
    return [data[start : start + 4] for start in range(0, len(data), 4)]


def packed_text(text: str) -> str:
    """Return text as base64 of its compressed UTF-8."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def unpacked_text(packed: str) -> str:
    """Return what ``packed_text`` was given.

    Raises:
        ValueError: It is not base64.
        zlib.error: It is not compressed.
    """
    data = base64.b64decode(packed, validate=True)
    return zlib.decompressobj().decompress(data, _LONGEST_TEXT).decode(errors="replace")
