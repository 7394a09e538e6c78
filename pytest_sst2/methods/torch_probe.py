"""``torch-probe``: the features and the objective of ``linear-probe``, minimised in PyTorch.

Two libraries solve the same convex problem. If an upgrade changes the accuracy of one probe only, the optimiser
caused it; if it changes both, the embeddings did. A few predictions differ between the probes, because scikit-learn
stops at ``tol=1e-4``, as the published number did, and this method continues to the minimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, Trained
from pytest_sst2.methods.features import load_features
from pytest_sst2.methods.logistic_regression import MAX_ITERATIONS, C
from pytest_sst2.results.fingerprint import TrainingFingerprint
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural

GRADIENT_TOLERANCE = 1e-7
# LBFGS may stop above its tolerance, when float64 allows no further descent. This gradient is still four digits below
# one that could change a prediction.
GRADIENT_ACCEPTED = 1e-5


def train(job: Job) -> Trained:
    """Return a classifier on the encoder's sentence embeddings. Only the linear layer is trained."""
    import torch

    embed = load_features(job)
    with job.clock.phase("encode", examples=len(job.train)):
        features = embed(job.train.sentences)
    with job.clock.phase("fit", examples=len(job.train)):
        layer, training = fit_linear(features, job.train.labels)
    job.recorder.record_training(training)

    def predict(sentences: Sequence[str]) -> np.ndarray:
        with torch.inference_mode():
            logits = layer(torch.from_numpy(embed(sentences)).double()).squeeze(1)
        return np.asarray(torch.sigmoid(logits).numpy())

    settings = {
        "C": C,
        "optimizer": "LBFGS",
        "line_search": "strong_wolfe",
        "max_iter": MAX_ITERATIONS,
        "tolerance_grad": GRADIENT_TOLERANCE,
        **embed.settings(),
    }
    return Trained(predict, settings, warnings=embed.warnings())


def fit_linear(features: np.ndarray, labels: np.ndarray) -> tuple[Any, TrainingFingerprint]:
    """Return a ``torch.nn.Linear`` (d to 1, float64, on the CPU) that minimises mean log-loss + ‖w‖² / (2 C n).

    This is scikit-learn's objective divided by C · n, so the minimum is the same. Because it is convex, the start
    (zeros) does not matter and no seed is needed. ``features`` has shape (n, d), and ``labels``, 0 or 1, shape (n,).

    Raises:
        Sst2Error: The final gradient is not close to zero.
    """
    import torch

    inputs = torch.from_numpy(features).double()
    targets = torch.tensor(labels, dtype=torch.float64)  # a copy, because the rows are read-only
    layer = torch.nn.Linear(inputs.shape[1], 1, dtype=torch.float64)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(),
        lr=1.0,
        max_iter=MAX_ITERATIONS,
        tolerance_grad=GRADIENT_TOLERANCE,
        tolerance_change=0.0,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        logits = layer(inputs).squeeze(1)
        log_loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
        loss = log_loss + layer.weight.square().sum() / (2 * C * len(targets))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    objective()
    largest = max(float(p.grad.abs().max()) for p in layer.parameters() if p.grad is not None)
    steps = int(optimizer.state[optimizer.param_groups[0]["params"][0]]["n_iter"])
    if not largest <= GRADIENT_ACCEPTED:
        raise Sst2Error(
            f"the linear layer did not converge in {plural(steps, 'iteration')} (largest gradient {largest:.1e}), so "
            "its accuracy means nothing."
        )
    return layer, TrainingFingerprint(steps=steps, last_gradient=float(f"{largest:.3g}"))
