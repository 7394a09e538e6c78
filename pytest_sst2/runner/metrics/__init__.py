"""Metrics of the ``evaluate`` library. The built-in ones, in ``local``, need no network."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.utils.atomic_write import scratch_folder
from pytest_sst2.utils.errors import Sst2Error

LOCAL = ("accuracy", "f1", "matthews_correlation", "precision", "recall")


def check_metrics(names: Sequence[str], *, trust_remote_code: bool) -> None:
    """Refuse metrics that are not built in and cannot be loaded, before anything is trained.

    Raises:
        Sst2Error: ``evaluate`` would download and run code that is not allowed, or it cannot load the metric.
    """
    foreign = [name for name in names if name not in LOCAL]
    if foreign and not trust_remote_code:
        raise Sst2Error(
            f"metric {foreign[0]!r} is not built in ({', '.join(LOCAL)}). `evaluate` would download and run code for "
            "it. If you trust that code, add --sst2-trust-remote-code."
        )
    for name in foreign:
        with scratch_folder() as scratch:
            _load(name, scratch)


def compute(name: str, predictions: np.ndarray, labels: np.ndarray) -> float:
    """Return one metric of 0/1 predictions against 0/1 labels, both of shape (n,).

    Raises:
        Sst2Error: ``evaluate`` cannot load the metric, or it does not return one number under its own name.
    """
    if name in LOCAL and sys.flags.optimize > 1:  # evaluate appends to docstrings, which python -OO removes
        from pytest_sst2.runner.metrics.local import score

        return score(name, predictions.tolist(), labels.tolist())
    with scratch_folder() as scratch:
        metric = _load(name, scratch)
        result = metric.compute(predictions=predictions.tolist(), references=labels.tolist())
    try:
        return float(result[name])
    except (KeyError, TypeError, ValueError) as error:
        raise Sst2Error(f"metric {name!r} returned {result!r}; expected one number named {name!r}.") from error


def _load(name: str, scratch: str) -> Any:
    if name in LOCAL:
        from pytest_sst2.runner.metrics.local import LocalMetric

        return LocalMetric(config_name=name, keep_in_memory=True, cache_dir=scratch)
    import evaluate

    try:
        return evaluate.load(name, keep_in_memory=True, cache_dir=scratch)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise Sst2Error(f"metric {name!r} could not be loaded by evaluate: {reason}.") from error
