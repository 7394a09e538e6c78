"""What the local metrics have in common: two columns of class numbers, one number out."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate


class BinaryMetric(evaluate.Metric):  # type: ignore[misc]
    """A metric of 0/1 predictions against 0/1 references; ``compute`` returns ``{name: value}``."""

    metric_name: str
    description: str

    def _info(self) -> evaluate.MetricInfo:
        integers = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=self.description,
            citation="",
            inputs_description="predictions and references: class numbers, 0 or 1",
            features=datasets.Features({"predictions": integers, "references": integers}),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {self.metric_name: float(self.score(references, predictions))}

    def score(self, references: Sequence[int], predictions: Sequence[int]) -> float:
        """Return the value of the metric."""
        raise NotImplementedError
