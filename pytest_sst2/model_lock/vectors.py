"""Embeddings as short projections, and how far new embeddings are from earlier ones.

Each embedding is scaled to length 1 and projected onto 16 random directions. Such a projection keeps squared distances
on average (Johnson and Lindenstrauss 1984, Contemporary Mathematics 26), also small ones.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

_DIRECTIONS = 16
# Neighbours of each sentence that are kept.
_NEIGHBOURS = 5
_DRAWS = 20
# Squared length that rounding to float16 can move a projection by.
_ROUNDING = 2e-7
# One byte per neighbour.
LARGEST_COUNT = 256


@dataclass(frozen=True)
class Vectors:
    """The embeddings of n sentences, 2 to 256.

    Attributes:
        dimensions: Number of dimensions of an embedding.
        projections: Each embedding of length 1, projected onto 16 random directions: float16, in base64.
        neighbours: For each sentence the numbers of the nearest others by cosine, one byte each, in base64: 5, or
            n - 1 if there are fewer.
    """

    dimensions: int
    projections: str
    neighbours: str


@dataclass(frozen=True)
class Mixing:
    """What happens to an index of earlier vectors that is searched with new ones.

    Attributes:
        cosine: Mean cosine between the earlier and the new vector of a sentence, estimated; 1 if nothing moved.
        lowest_cosine: The lowest of them, with a relative standard error of 35 % in its distance from 1.
        same_neighbours: The share of the nearest earlier vectors that a new one finds as the earlier one did,
            estimated.
    """

    cosine: float
    lowest_cosine: float
    same_neighbours: float


def pack_vectors(embeddings: np.ndarray) -> Vectors:
    """Return the vectors of embeddings of shape (n, d), n from 2 to 256."""
    unit = unit_length(embeddings)
    projected = (unit @ _directions(unit.shape[1])).astype("<f2")
    nearest = _nearest(unit @ unit.T).astype(np.uint8)
    encoded = (base64.b64encode(values.tobytes()).decode() for values in (projected, nearest))
    return Vectors(unit.shape[1], *encoded)


def check_vectors(vectors: Vectors, count: int) -> None:
    """Raise ``ValueError`` unless the vectors are those of ``count`` sentences."""
    sizes = (
        ("projections", vectors.projections, 2 * count * _DIRECTIONS),
        ("neighbours", vectors.neighbours, count * _kept(count)),
    )
    for name, packed, size in sizes:
        if (actual := len(base64.b64decode(packed, validate=True))) != size:
            raise ValueError(f"vectors.{name} has {actual} bytes for {count} sentences, not {size}")


def mixing(earlier: Vectors, embeddings: np.ndarray) -> Mixing | None:
    """Return how the earlier vectors and new embeddings of the same sentences, shape (n, d), go together.

    None if the numbers of dimensions differ.
    """
    if embeddings.shape[1] != earlier.dimensions:
        return None
    unit, count = unit_length(embeddings), len(embeddings)
    projected = unit @ _directions(unit.shape[1])
    before = np.frombuffer(base64.b64decode(earlier.projections), dtype="<f2").astype(np.float64)
    moved = projected - before.reshape(count, _DIRECTIONS)
    moved[(moved**2).sum(axis=1) < _ROUNDING] = 0.0
    cosines = 1 - (moved**2).sum(axis=1) / 2
    neighbours = np.frombuffer(base64.b64decode(earlier.neighbours), dtype=np.uint8).reshape(count, _kept(count))
    same = _same_neighbours(unit, projected, moved, neighbours)
    return Mixing(float(cosines.mean()), float(cosines.min()), same)


def _same_neighbours(unit: np.ndarray, projected: np.ndarray, moved: np.ndarray, neighbours: np.ndarray) -> float:
    """Return the expected share of the nearest earlier vectors that new ones find as the earlier ones did.

    The similarity of a new vector a and an earlier vector b is that of a and the new b, which is known, minus a times
    what b moved, of which the projections give a noisy estimate. The noise is removed on average by empirical Bayes
    (Efron and Morris 1973, JASA 68): the effect is drawn from its distribution given the estimates. A movement that
    all vectors share changes no order.
    """
    apart = moved - moved.mean(axis=0)
    estimated = projected @ apart.T
    noise = (apart**2).sum(axis=1) / _DIRECTIONS
    total = float((estimated**2).mean())
    # An effect has at least the size that a movement in a random direction has.
    least = float((apart**2).sum(axis=1).mean()) / unit.shape[1]
    signal = max(total - float(noise.mean()), least)
    kept = np.divide(signal, signal + noise, out=np.zeros_like(noise), where=noise > 0)
    similarities, random, shares = unit @ unit.T, np.random.RandomState(0), []
    for _ in range(_DRAWS):
        effect = kept * estimated + np.sqrt(kept * noise) * random.standard_normal(estimated.shape)
        pairs = zip(_nearest(similarities - effect), neighbours, strict=True)
        shares.append(sum(len({*one} & {*other}) for one, other in pairs) / neighbours.size)
    return float(np.mean(shares))


def unit_length(embeddings: np.ndarray) -> np.ndarray:
    """Return the embeddings as float64 of length 1; one of length 0 stays."""
    rows = np.asarray(embeddings, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))


def _directions(dimensions: int) -> np.ndarray:
    # NumPy keeps the stream of its legacy generator unchanged, so every version draws the same directions.
    return np.asarray(np.random.RandomState(0).standard_normal((dimensions, _DIRECTIONS)) / np.sqrt(_DIRECTIONS))


def _kept(count: int) -> int:
    return min(_NEIGHBOURS, count - 1)


def _nearest(similarities: np.ndarray) -> np.ndarray:
    """Return the numbers of the nearest others of each row, shape (n, k)."""
    others = similarities.copy()
    np.fill_diagonal(others, -np.inf)
    return np.asarray(np.argsort(-others, axis=1, kind="stable")[:, : _kept(len(others))])
