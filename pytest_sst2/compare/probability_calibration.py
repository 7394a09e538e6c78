"""Measure probability calibration: whether a classifier is right as often as its probabilities claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """Predictions with a confidence between two probabilities of 0.5 to 1, and their mean confidence and accuracy.

    The lowest bin also holds predictions below 0.5.
    """

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


def calibration_bins(
    probabilities: np.ndarray, predictions: np.ndarray, labels: np.ndarray
) -> tuple[ConfidenceBin, ...]:
    """Return the calibration curve: ten bins of equal width over the confidence of the predictions, without empty bins.

    A classifier with its own threshold can predict the less probable class. Such predictions are in the lowest bin.

    Args:
        probabilities: Of the positive class, of shape (n,) or (S, n).
        predictions: 0 or 1, of the same shape.
        labels: 0 or 1, of the same shape.

    Raises:
        ValueError: The shapes differ, or a probability is outside 0 to 1.
    """
    if not probabilities.shape == predictions.shape == labels.shape:
        shapes = f"{probabilities.shape}, {predictions.shape} and {labels.shape}"
        raise ValueError(f"probabilities, predictions and labels must have one shape, not {shapes}.")
    if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("probabilities must be between 0 and 1.")
    confidence = np.where(predictions == 1, probabilities, 1 - probabilities)
    right = predictions == labels
    edges = np.linspace(0.5, 1, BINS + 1)
    # A bin includes its upper edge, so that a confidence of 1 has a bin; the lowest bin also includes 0.5.
    numbers = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, BINS - 1)
    return tuple(
        ConfidenceBin(
            round(float(edges[number]), 4),
            round(float(edges[number + 1]), 4),
            int(chosen.sum()),
            float(confidence[chosen].mean()),
            float(right[chosen].mean()),
        )
        for number in range(BINS)
        if (chosen := numbers == number).any()
    )


def expected_calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Return the mean distance between confidence and accuracy, weighted by the size of the bins; 0 without bins.

    As in Guo et al. 2017 ("On Calibration of Modern Neural Networks", ICML), with ten bins over 0.5 to 1, because the
    confidence of one of two classes is in that range.
    """
    total = sum(bin_.examples for bin_ in bins)
    return sum(bin_.examples * abs(bin_.confidence - bin_.accuracy) for bin_ in bins) / total if total else 0.0
