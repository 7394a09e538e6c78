"""Harmonic mean of precision and recall of the positive class; 0 where neither is defined."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import f1_score

from pytest_sst2.metrics.base import BinaryMetric


class LocalMetric(BinaryMetric):
    """Harmonic mean of precision and recall of the positive class; 0 where neither is defined."""

    metric_name = "f1"
    description = "Harmonic mean of precision and recall of the positive class; 0 where neither is defined."

    def score(self, references: Sequence[int], predictions: Sequence[int]) -> float:
        """Return the value of the metric."""
        return float(f1_score(references, predictions, zero_division=0.0))
