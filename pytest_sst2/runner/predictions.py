"""Validation of a classifier's output: one probability per sentence."""

from __future__ import annotations

import numpy as np

from pytest_sst2.utils.errors import Sst2Error


def validate_probabilities(output: object, count: int, method: str) -> np.ndarray:
    """Return a classifier's output as float64, shape ``(count,)``, each from 0 to 1.

    Args:
        output: The classifier's output.
        count: Number of sentences.
        method: Name of the method, for the error message.

    Raises:
        Sst2Error: The output is not numeric, has another shape, or contains invalid probabilities.
    """
    try:
        probabilities = np.asarray(output, dtype=np.float64)
    except (TypeError, ValueError):
        probabilities = np.empty(0)
    if probabilities.shape != (count,):
        raise Sst2Error(
            f"method {method!r} returned {_describe(output)} for {count} sentences; expected an array of shape "
            f"({count},) with the probability of the positive class."
        )
    invalid = int((~((probabilities >= 0) & (probabilities <= 1))).sum())
    if invalid:
        raise Sst2Error(
            f"method {method!r} returned {invalid} invalid probabilities for {count} sentences (not a number, or "
            "outside 0 to 1)."
        )
    return probabilities


def _describe(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"
