"""Probes: linear classifiers on frozen sentence embeddings, in scikit-learn and in PyTorch."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2("linear-probe")
def test_linear_probe(sst2_run: CellRun) -> None:
    """scikit-learn's logistic regression on frozen embeddings reaches its floor."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)


@pytest.mark.sst2("torch-probe")
def test_torch_probe(sst2_run: CellRun) -> None:
    """The same objective, minimised in PyTorch, reaches its floor."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
