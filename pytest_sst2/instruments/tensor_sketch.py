"""Sketches of weights and activations: digests for equality, random signs for distances.

A projection onto random signs has the expected square of the vector's length, so the projections of two versions of a
tensor estimate how far apart they are (Achlioptas 2003, Journal of Computer and System Sciences 66).
"""

from __future__ import annotations

import functools
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.results.fingerprint import SKETCH_STEPS, TensorSketches
from pytest_sst2.results.packing import packed_bytes, packed_digests, packed_text

# Values of a tensor that are sampled to count the distinct ones.
_SAMPLED = 1024
_MANTISSA_BITS = 23
_LARGEST = float(np.finfo(np.float32).max)
# A prime length, so that the signs do not repeat in step with the rows of a matrix. As many elements are read at once,
# which limits the memory.
_SIGNS = 65_521
_PROJECTIONS = 3


@dataclass(frozen=True)
class _Sketch:
    """The sketch of one tensor, packed: a digest that ignores the order, bits and distinct values, length and signs."""

    unordered: bytes
    grid: tuple[int, int]
    projections: bytes


# From the digest of a tensor's values to its sketch.
KnownSketches = dict[bytes, _Sketch]


@functools.cache
def _signs(count: int) -> np.ndarray:
    """Return ``count`` rows of random signs, float64, each twice in a row; the same in every version of NumPy."""
    signs = np.random.RandomState(1).randint(0, 2, (count, _SIGNS)).astype(np.float64) * 2 - 1
    return np.concatenate([signs, signs], axis=1)


def project(values: np.ndarray, count: int, start: int = 0) -> np.ndarray:
    """Return ``count`` projections of a flat array onto random signs, float64, beginning at the sign ``start``."""
    signs, total = _signs(count), np.zeros(count)
    start %= _SIGNS
    for begin in range(0, len(values), _SIGNS):
        part = values[begin : begin + _SIGNS].astype(np.float64, copy=False)
        # Not a product of BLAS, whose threads wait for one another longer than this takes.
        total += np.einsum("ij,j->i", signs[:, start : start + len(part)], part)
    return total


def storable(values: Iterable[float]) -> list[float]:
    """Return numbers that float32 can store: larger ones are clipped, and NaN stays."""
    return [float(value) for value in np.clip(np.array(list(values), dtype=np.float64), -_LARGEST, _LARGEST)]


class TensorSketcher:
    """Collects the sketches of tensors, one after the other; those of ``known`` values are not computed again."""

    def __init__(self, known: KnownSketches | None = None) -> None:
        self._known: KnownSketches = {} if known is None else known
        self._names: list[str] = []
        self._digests: list[bytes] = []
        self._grids: list[int] = []
        self._sketch: list[bytes] = []

    def add(self, name: str, values: np.ndarray, digest: bytes) -> None:
        """Add a tensor: float32 values of any shape and their digest."""
        if digest not in self._known:
            self._known[digest] = _sketched(values.reshape(-1))
        sketch = self._known[digest]
        self._names.append(f"{name} {'x'.join(map(str, values.shape)) or '-'}")
        self._digests.append(digest[:2] + sketch.unordered)
        self._grids += sketch.grid
        self._sketch.append(sketch.projections)

    def sketches(self) -> TensorSketches:
        """Return the sketches of the tensors added so far."""
        return TensorSketches(
            names=packed_text("\n".join(self._names)),
            digests=packed_digests(self._digests),
            grids=packed_bytes(bytes(self._grids), compressed=True),
            sketch=packed_bytes(b"".join(self._sketch)),
        )


def _sketched(flat: np.ndarray) -> _Sketch:
    sums = _Sums()
    with np.errstate(all="ignore"):
        for begin in range(0, len(flat), _SIGNS):
            sums.add(flat[begin : begin + _SIGNS])
        (length,) = storable([sums.squares**0.5])
        steps = np.nan_to_num(sums.projections / length * SKETCH_STEPS)
    whole = np.clip(np.rint(steps), -(2**15), 2**15 - 1).astype(int)
    grid = (sums.mantissa_bits(), _distinct_share(flat))
    return _Sketch(sums.unordered_digest(), grid, struct.pack("<f3h", length, *whole))


class _Sums:
    """Sums over the values of a tensor, block by block. -0.0 counts as 0.0."""

    def __init__(self) -> None:
        self.squares = 0.0
        self.projections = np.zeros(_PROJECTIONS)
        self._used_bits = self._bits = self._squared_bits = 0

    def add(self, block: np.ndarray) -> None:
        """Add up to ``_SIGNS`` values, float32."""
        exact = block.astype(np.float64)
        self.squares += float(np.einsum("i,i->", exact, exact))
        self.projections += project(exact, _PROJECTIONS)
        bits = (block + 0.0).view(np.uint32)
        self._used_bits |= int(np.bitwise_or.reduce(bits))
        wide = bits.astype(np.uint64)
        self._bits += int(wide.sum())
        self._squared_bits += int((wide * wide).sum())

    def unordered_digest(self) -> bytes:
        """Return a digest of two bytes that does not depend on the order of the values."""
        return hashlib.sha256(repr([self._bits % 2**64, self._squared_bits % 2**64]).encode()).digest()[:2]

    def mantissa_bits(self) -> int:
        """Return the number of bits of the mantissa that any value uses: 23 for float32, at most 7 for bfloat16."""
        used = self._used_bits & (1 << _MANTISSA_BITS) - 1
        return _MANTISSA_BITS - ((used & -used).bit_length() - 1) if used else 0


def _distinct_share(flat: np.ndarray) -> int:
    """Return how many of 255 values are distinct, in the most varied of three samples; 0 if all values are equal."""
    if len(flat) > 1 and flat.min() == flat.max():
        return 0
    samples = [flat[start : start + _SAMPLED] for start in (0, len(flat) // 2, max(0, len(flat) - _SAMPLED))]
    return max(1, *(255 * len(np.unique(sample)) // max(1, len(sample)) for sample in samples))


def as_float32(value: Any) -> np.ndarray:
    """Return a floating-point tensor of PyTorch as a float32 array."""
    plain: np.ndarray = value.detach().float().cpu().contiguous().numpy()
    return plain
