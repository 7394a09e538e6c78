"""What a classifier may answer: one probability a sentence."""

from __future__ import annotations

import numpy as np

from pytest_sst2.utils.errors import Sst2Error


def checked_probabilities(answers: object, count: int, method: str) -> np.ndarray:
    """Return a classifier's answers as float64, shape ``(count,)``, each from 0 to 1.

    Args:
        answers: What it returned.
        count: How many sentences it was given.
        method: Whose classifier it is.

    Raises:
        Sst2Error: They are no numbers, of another shape, or no probabilities.
    """
    try:
        probabilities = np.asarray(answers, dtype=np.float64)
    except (TypeError, ValueError):
        probabilities = np.empty(0)
    if probabilities.shape != (count,):
        raise Sst2Error(
            f"method {method!r} returned {_described(answers)} for {count} sentences; an array of shape ({count},) "
            "with the probability of the positive class is wanted."
        )
    wrong = int((~((probabilities >= 0) & (probabilities <= 1))).sum())
    if wrong:
        raise Sst2Error(
            f"method {method!r} returned {wrong} of {count} values that are no probabilities (not a number, or outside "
            "0 to 1)."
        )
    return probabilities


def _described(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"
