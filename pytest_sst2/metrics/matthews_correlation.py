"""Matthews correlation coefficient, -1 to 1; 0 where all predictions are one class."""

from __future__ import annotations

from collections.abc import Sequence

from sklearn.metrics import matthews_corrcoef

from pytest_sst2.metrics.base import BinaryMetric


class LocalMetric(BinaryMetric):
    """Matthews correlation coefficient, -1 to 1; 0 where all predictions are one class."""

    metric_name = "matthews_correlation"
    description = "Matthews correlation coefficient, -1 to 1; 0 where all predictions are one class."

    def score(self, references: Sequence[int], predictions: Sequence[int]) -> float:
        """Return the value of the metric."""
        return float(matthews_corrcoef(references, predictions))
