"""Share of predictions that equal the reference."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import accuracy_score

from pytest_sst2.metrics.base import BinaryMetric


class LocalMetric(BinaryMetric):
    """Share of predictions that equal the reference."""

    metric_name = "accuracy"
    description = "Share of predictions that equal the reference."

    def score(self, references: Sequence[int], predictions: Sequence[int]) -> float:
        """Return the value of the metric."""
        return float(accuracy_score(references, predictions))
