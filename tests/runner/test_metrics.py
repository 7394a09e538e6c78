"""Built-in metrics need no network and leave no files; other metrics need trusted code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.runner import metrics
from pytest_sst2.utils.errors import Sst2Error

# Four of six are right: 2 true positives, 1 false negative, 1 false positive, 2 true negatives.
LABELS = np.array([1, 1, 1, 0, 0, 0])
PREDICTIONS = np.array([1, 1, 0, 1, 0, 0])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 4 / 6),
        ("precision", 2 / 3),
        ("recall", 2 / 3),
        ("f1", 2 / 3),
        # (tp tn - fp fn) / sqrt((tp+fp)(tp+fn)(tn+fp)(tn+fn)) = (4 - 1) / sqrt(3 * 3 * 3 * 3) = 1/3
        ("matthews_correlation", 1 / 3),
    ],
)
def test_local_metrics_equal_the_arithmetic_by_hand(name: str, expected: float) -> None:
    assert metrics.compute(name, PREDICTIONS, LABELS) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["f1", "precision", "matthews_correlation"])
def test_a_collapsed_classifier_scores_zero_and_raises_nothing(name: str) -> None:
    assert metrics.compute(name, np.zeros(6, dtype=np.int64), LABELS) == 0.0


@pytest.mark.processes
def test_a_local_metric_needs_no_docstrings() -> None:
    """``python -OO`` removes them, and evaluate appends to them."""
    code = (
        "import numpy as n; from pytest_sst2.runner.metrics import compute; print(compute('f1', *n.ones((2, 3), int)))"
    )
    done = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("1.0\n"), done.stderr  # transformers prints about docstrings first


def test_a_local_metric_is_an_evaluate_module() -> None:
    import evaluate

    from pytest_sst2.runner.metrics.local import LocalMetric

    assert issubclass(LocalMetric, evaluate.Metric)


def test_computing_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    metrics.compute("accuracy", PREDICTIONS, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_would_fetch_code_is_refused_unless_code_is_trusted() -> None:
    with pytest.raises(Sst2Error, match=r"'bleu' is not built in .*--sst2-trust-remote-code"):
        metrics.check_metrics(["accuracy", "bleu"], trust_remote_code=False)


def test_a_trusted_metric_that_cannot_be_loaded_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(Sst2Error, match="'no-such-metric' could not be loaded"):
        metrics.check_metrics(["accuracy", "no-such-metric"], trust_remote_code=True)


def test_an_unknown_metric_is_one_sentence() -> None:
    with pytest.raises(Sst2Error, match="metric 'no-such-metric' could not be loaded by evaluate") as caught:
        metrics.compute("no-such-metric", PREDICTIONS, LABELS)
    assert "\n" not in str(caught.value)
