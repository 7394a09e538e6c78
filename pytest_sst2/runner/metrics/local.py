"""The built-in metrics as a local ``evaluate`` module, which needs no network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, precision_score, recall_score

_SCORES: dict[str, tuple[Callable[..., float], str]] = {
    "accuracy": (accuracy_score, "share of predictions that equal the reference"),
    "f1": (
        functools.partial(f1_score, zero_division=0.0),
        "harmonic mean of precision and recall of the positive class; 0 if neither is defined",
    ),
    "matthews_correlation": (
        matthews_corrcoef,
        "Matthews correlation coefficient, -1 to 1; 0 if all predictions are one class",
    ),
    "precision": (
        functools.partial(precision_score, zero_division=0.0),
        "share of positive predictions that are right; 0 if there are none",
    ),
    "recall": (
        functools.partial(recall_score, zero_division=0.0),
        "share of positive references that are predicted; 0 if there are none",
    ),
}


def score(name: str, predictions: Sequence[int], references: Sequence[int]) -> float:
    """Return one of the metrics above."""
    return float(_SCORES[name][0](references, predictions))


class LocalMetric(evaluate.Metric):  # type: ignore[misc]
    """One of the metrics above, named by ``config_name``. ``compute`` returns ``{name: value}``."""

    def _info(self) -> evaluate.MetricInfo:
        integers = datasets.Value("int64")
        return evaluate.MetricInfo(
            description=_SCORES[self.config_name][1],
            citation="",
            inputs_description="predictions and references: class numbers, 0 or 1",
            features=datasets.Features({"predictions": integers, "references": integers}),
        )

    def _compute(self, predictions: Sequence[int], references: Sequence[int]) -> dict[str, float]:
        return {self.config_name: score(self.config_name, predictions, references)}
