"""Sketch the token ids and embeddings of evaluation and training rows: a few bytes per row."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_sst2.instruments.tensor_sketch import storable
from pytest_sst2.results.fingerprint import DIGEST_BITS, LENGTH_BIT, MOST_TOKENS, RowSketches
from pytest_sst2.results.packing import packed_bytes, packed_digests, packed_floats
from pytest_sst2.utils.hashing import short_digest

# Number of blocks of consecutive training rows.
TRAIN_BLOCKS = 64
# Rows whose embedding by a trained model is sketched: every seed has its own.
_MOST_TRAINED = 1024
# The integers reach this multiple of the projections' root mean square.
_RANGE = 5.0
_LARGEST = 16_383


@dataclass
class SketchedRows:
    """Digests of token ids and projections of embeddings of some rows, in their order; the last may lack the latter."""

    digests: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    projections: np.ndarray = field(default_factory=lambda: np.empty(0))


def sketch_rows(ids: Iterable[Sequence[int]], embeddings: np.ndarray) -> SketchedRows:
    """Return the sketches of rows with these token ids and embeddings of shape (n, d)."""
    plain = list(ids)
    return SketchedRows([_row_digest(row) for row in plain], [len(row) for row in plain], projected(embeddings))


class RowWatch:
    """Collects the token ids and mean hidden states of the sentences that a transformers model reads."""

    def __init__(self) -> None:
        self._projections: dict[bytes, float] = {}

    @contextlib.contextmanager
    def watching(self, module: Any) -> Iterator[None]:
        """Watch the ``base_model`` of a module during the body, if it has one."""
        inner: Any = getattr(module, "base_model", None)
        if not hasattr(inner, "register_forward_hook"):
            yield
            return
        with inner.register_forward_hook(self._collect, with_kwargs=True):
            yield

    def rows(self, ids: Sequence[Sequence[int]]) -> SketchedRows | None:
        """Return the sketches of rows that should have been read as these ids; None if nothing was observed.

        A row that the model read otherwise gets the digest 0 and no tokens.
        """
        if not self._projections:
            return None
        digests = [_row_digest(row) for row in ids]
        values = [self._projections.get(digest, 0.0) for digest in digests]
        read = [digest if digest in self._projections else bytes(4) for digest in digests]
        lengths = [len(row) if digest in self._projections else 0 for row, digest in zip(ids, digests, strict=True)]
        return SketchedRows(read, lengths, np.array(values[:_MOST_TRAINED]))

    def _collect(self, _module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        with contextlib.suppress(Exception):  # no measurement may end a run
            ids, mask = kwargs.get("input_ids", args[0] if args else None), kwargs.get("attention_mask")
            if ids is None or mask is None or ids.shape != mask.shape:
                return
            weights = mask.unsqueeze(-1)
            means = ((output[0].float() * weights).sum(1) / weights.sum(1)).cpu().numpy()
            for row, kept, value in zip(ids.cpu().numpy(), mask.bool().cpu().numpy(), projected(means), strict=True):
                self._projections[_row_digest(row[kept].tolist())] = float(value)


def _row_digest(ids: Sequence[int]) -> bytes:
    return hashlib.blake2b(struct.pack(f"<{len(ids)}i", *ids), digest_size=4).digest()


def projected(embeddings: np.ndarray) -> np.ndarray:
    """Return one random projection of each embedding, float64, shape (n,)."""
    direction = np.random.RandomState(2).standard_normal(embeddings.shape[1]) / max(1, embeddings.shape[1]) ** 0.5
    return np.asarray(embeddings.astype(np.float64) @ direction)


def _token_codes(rows: SketchedRows) -> np.ndarray:
    """Return the number of tokens of each row, in the upper six bits, and eight bits of their digest: uint16."""
    digests = np.frombuffer(b"".join(digest[:2] for digest in rows.digests), "<u2")
    lengths = np.minimum(rows.lengths, MOST_TOKENS).astype("<u2")
    return np.asarray(lengths << LENGTH_BIT | digests & (1 << DIGEST_BITS) - 1, dtype="<u2")


def row_sketches(evaluation: SketchedRows | None, train: SketchedRows | None) -> RowSketches | None:
    """Return the packed sketches; None if nothing was observed."""
    fields: dict[str, Any] = {}
    if evaluation is not None and evaluation.digests:
        values = np.nan_to_num(evaluation.projections)
        known = values[values != 0]  # a row that was not read has 0
        unit = float(np.sqrt(np.square(known).mean())) * _RANGE / _LARGEST if len(known) else 1.0
        unit = float(f"{unit:.6g}")
        steps = np.clip(np.rint(values / unit), -_LARGEST, _LARGEST).astype("<i2")
        fields |= {
            "tokens": packed_bytes(_token_codes(evaluation).tobytes()),
            "all_tokens": short_digest(b"".join(evaluation.digests), 8),
            "embeddings": packed_bytes(steps.tobytes(), compressed=True, width=2),
            "unit": unit,
        }
    if train is not None and train.digests:
        signs = np.random.RandomState(3).randint(0, 2, len(train.digests)) * 2 - 1
        blocks = np.array_split(np.arange(len(train.digests)), min(TRAIN_BLOCKS, len(train.digests)))
        fields |= {
            "train_tokens": packed_digests(
                hashlib.blake2b(b"".join(train.digests[row] for row in block), digest_size=2).digest()
                for block in blocks
            ),
            "train_embeddings": packed_floats(
                storable((train.projections[block] * signs[block]).sum() for block in blocks)
            ),
        }
    return RowSketches(**fields) if fields else None
