"""Cosine and correlation of arrays, safe where one of them is zero or constant."""

from __future__ import annotations

import numpy as np


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two arrays taken as vectors; 1 where both are zero, 0 where one of them is."""
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float((one * other).sum() / (lengths[0] * lengths[1]))


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two arrays; 1 where either hardly varies, so that there is nothing to be told."""
    first, second = one - one.mean(), other - other.mean()
    return cosine(first, second) if min(first.std(), second.std()) > 1e-3 else 1.0
