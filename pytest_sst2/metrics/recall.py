"""Share of positive references that were found; 0 where there are none."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import recall_score

from pytest_sst2.metrics.base import BinaryMetric


class LocalMetric(BinaryMetric):
    """Share of positive references that were found; 0 where there are none."""

    metric_name = "recall"
    description = "Share of positive references that were found; 0 where there are none."

    def score(self, references: Sequence[int], predictions: Sequence[int]) -> float:
        """Return the value of the metric."""
        return float(recall_score(references, predictions, zero_division=0.0))
