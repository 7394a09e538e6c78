"""Hooks that a conftest or another plugin can implement. Each example works when pasted into a conftest.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.config.specs import MethodSpec, ModelSpec
    from pytest_sst2.results.record import Record


@pytest.hookspec
def pytest_sst2_models() -> Sequence[ModelSpec]:  # type: ignore[empty-body]
    """Return models to add; a model replaces another one of the same name.

    Example::

        from pytest_sst2 import ModelSpec

        def pytest_sst2_models():
            return [ModelSpec("minilm-head", "sentence-transformers/all-MiniLM-L6-v2", revision="main")]
    """


@pytest.hookspec
def pytest_sst2_methods() -> Sequence[MethodSpec]:  # type: ignore[empty-body]
    """Return methods to add; they have floors, times, records and rows in the table like built-in methods.

    Example::

        import numpy as np
        from pytest_sst2 import MethodSpec

        def length(job):
            with job.clock.phase("fit", examples=len(job.train)):
                median = np.median([len(sentence) for sentence in job.train.sentences])
            return lambda sentences: np.array([float(len(sentence) > median) for sentence in sentences])

        def pytest_sst2_methods():
            return [MethodSpec("length", length, needs_model=False)]
    """


@pytest.hookspec
def pytest_sst2_record(record: Record) -> None:
    """Receive each record that the run measured, when its test ends; not those taken from an earlier run's file.

    With pytest-xdist, shards or Ray, the process that gathers the records calls it. An error of the hook is a problem
    at the end of the run, and the hook is not called again.

    Example::

        import mlflow

        def pytest_sst2_record(record):
            with mlflow.start_run(run_name=record.cell):
                mlflow.log_params({"model": record.model, "method": record.method, "seed": record.seed})
                mlflow.log_metric("accuracy", record.accuracy)
    """


@pytest.hookspec
def pytest_sst2_comparison(comparison: Comparison) -> None:
    """Receive the comparison of a run with ``--sst2-compare``, after the results are written.

    An error of the hook is a problem at the end of the run.

    Example::

        def pytest_sst2_comparison(comparison):
            for cell in comparison.flagged("regressed"):
                causes = "; ".join(cause.sentence for cause in cell.causes)
                print(f"::error title={cell.name} regressed::{causes or 'no cause was found'}")
    """
