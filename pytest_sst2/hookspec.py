"""Hooks that a conftest or another plugin can implement. Each example works when pasted into a conftest.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_sst2.config.specs import MethodSpec, ModelSpec


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
