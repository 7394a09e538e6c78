"""Align parts of two fingerprints that are about different numbers of probe sentences."""

from __future__ import annotations

import numpy as np

from pytest_sst2.results.probe_sentences import numbers_of


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
