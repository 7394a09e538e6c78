"""Randomisation test over sentences: if nothing changed, each sentence's difference is as likely negative as positive.

Fisher 1935, The Design of Experiments, section 21. With one seed it is the exact McNemar test. Unlike a sign test it
weighs a sentence by how many seeds lost it, so it sees a set of sentences that all seeds lose.
"""

from __future__ import annotations

import numpy as np

_SMALLEST_P = 1e-15  # precision of the Fourier transform


def sign_flip_p(values: np.ndarray) -> float:
    """Return the one-sided p-value of a negative sum against random signs: exact, 1.0 if all values are 0.

    It is the probability that the sum of integers ``values`` with independent random signs is at most their sum. The
    distribution is the inverse Fourier transform of the product of the values' characteristic functions.
    """
    if not values.any():
        return 1.0
    values = values[values != 0] // np.gcd.reduce(values)
    sizes = np.abs(values)
    largest, observed = int(sizes.sum()), int(values.sum())
    distinct, counts = np.unique(sizes, return_counts=True)
    frequencies = -2j * np.pi * np.arange((largest + 1) // 2 + 1) / (largest + 1)
    # The positive values' sum: each value is counted with probability one half.
    transform = np.ones(frequencies.size, dtype=complex)
    for size, count in zip(distinct.tolist(), counts.tolist(), strict=True):
        transform *= ((1 + np.exp(frequencies * size)) / 2) ** count
    probabilities = np.fft.irfft(transform, largest + 1)
    p = float(probabilities[: (largest + observed) // 2 + 1].sum())
    return min(1.0, max(p, _SMALLEST_P))


def least_p(values: np.ndarray) -> float:
    """Return the smallest p-value that differences of these sizes can have: all of them losses."""
    return float(0.5 ** np.count_nonzero(values))
