"""Compute the cosine and correlation of arrays, with defined results for zero and constant arrays."""

from __future__ import annotations

import numpy as np

# A smaller standard deviation leaves nothing to correlate.
_CONSTANT = 1e-3


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two arrays taken as vectors; 1 if both are zero, 0 if one of them is."""
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float((one * other).sum() / (lengths[0] * lengths[1]))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two arrays; 1 if either is nearly constant."""
    first, second = one - one.mean(), other - other.mean()
    return cosine(first, second) if min(first.std(), second.std()) > _CONSTANT else 1.0
