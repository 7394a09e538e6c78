"""Calibration: whether a classifier is right as often as it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """Answers of like confidence.

    Attributes:
        low: The least confidence in it, a probability of 0.5 to 1; the lowest bin holds what is less sure too.
        high: The highest.
        examples: Answers.
        confidence: Their mean probability of the class that was answered.
        accuracy: The share of them that is right.
    """

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


def reliability(probabilities: np.ndarray, predictions: np.ndarray, labels: np.ndarray) -> tuple[ConfidenceBin, ...]:
    """Return the reliability curve: ten bins of equal width over the confidence of the answer, those without left out.

    A classifier with a threshold of its own can give an answer that it holds for the less likely; it is in the lowest
    bin.

    Args:
        probabilities: Of the positive class, of shape (n,) or (S, n).
        predictions: What was answered, 0 or 1, of the same shape.
        labels: 0 or 1, of the same shape.

    Raises:
        ValueError: The shapes differ, or a probability is outside 0 to 1.
    """
    if not probabilities.shape == predictions.shape == labels.shape:
        shapes = f"{probabilities.shape}, {predictions.shape} and {labels.shape}"
        raise ValueError(f"probabilities, predictions and labels are of shapes {shapes}.")
    if probabilities.size and not (probabilities.min() >= 0 and probabilities.max() <= 1):
        raise ValueError("a probability is outside 0 to 1.")
    confidence = np.where(predictions == 1, probabilities, 1 - probabilities)
    right = predictions == labels
    edges = np.linspace(0.5, 1, BINS + 1)
    # The upper edge belongs to a bin, so that a confidence of 1 has one; the lowest bin has 0.5 too.
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
    """Return the mean distance of confidence from accuracy, bins weighted by their answers; 0 without any.

    As in Guo et al. 2017 ("On Calibration of Modern Neural Networks", ICML), with ten bins over 0.5 to 1, where the
    confidence of one of two classes lies.
    """
    total = sum(each.examples for each in bins)
    return sum(each.examples * abs(each.confidence - each.accuracy) for each in bins) / total if total else 0.0
