"""A callback of the Hugging Face Trainer that collects losses, learning rates and the learning curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, epoch_of, overflow_remedy
from pytest_sst2.methods.fast.trimmed_embedding import EmbeddingTrimmer
from pytest_sst2.methods.sequence_classifier import SequenceClassifier
from pytest_sst2.results.record import Epoch
from pytest_sst2.utils.errors import Sst2Error


def observer_of(job: Job, classifier: SequenceClassifier, trimmer: EmbeddingTrimmer) -> Any:
    """Return the callback for a job; it predicts with the classifier after each epoch but the last."""
    from transformers import TrainerCallback

    class Observer(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            # Steps done and the mean loss since the entry before: after the first step, and after each epoch.
            self.losses: list[tuple[int, float]] = []
            # Steps done and the predicted probabilities after each epoch but the last, which the runner predicts.
            self.curve: list[tuple[int, np.ndarray]] = []
            self.first_gradient_norm: float | None = None
            self.learning_rate = 0.0

        def on_step_begin(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            self.learning_rate = max(self.learning_rate, *(group["lr"] for group in optimizer.param_groups))

        def on_step_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            job.clock.step(state.global_step, state.max_steps)

        def on_epoch_end(self, _args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step >= state.max_steps:
                job.recorder.record_epoch(None)
                return
            with trimmer.restored():
                job.recorder.record_epoch(classifier)
            with job.clock.phase("evaluate", examples=len(job.evaluation)), trimmer.restored():
                self.curve.append((state.global_step, classifier(job.evaluation.sentences)))

        def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
            if "loss" not in logs:
                return
            if not self.losses and "grad_norm" in logs:
                self.first_gradient_norm = float(f"{float(logs['grad_norm']):.6g}")
            self.losses.append((state.global_step, float(f"{float(logs['loss']):.6g}")))
            if not math.isfinite(self.losses[-1][1]):
                raise Sst2Error(_diverged(job, *self.losses[-1]))

    return Observer()


def _diverged(job: Job, step: int, loss: float) -> str:
    """Return the error message for a loss that is infinite or NaN.

    The loss of the first step is computed with the weights as loaded, so the training did not cause it.
    """
    name = job.encoder.name
    if step <= 1:
        return (
            f"model {name!r}: the loss is {loss} before any weight was changed, so the model itself returns NaN or "
            f"infinity in {job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
        )
    return (
        f"training diverged: the loss is {loss} at step {step}. Lower --sst2-learning-rate (it is "
        f"{job.recipe.learning_rate}). If that does not help, model {name!r} itself overflows in "
        f"{job.recipe.dtype}. {overflow_remedy(job.recipe.dtype)}"
    )


def learning_curve(
    losses: Sequence[tuple[int, float]], curve: Sequence[tuple[int, np.ndarray]], steps: int, labels: np.ndarray
) -> tuple[tuple[Epoch, ...], float]:
    """Return the epochs of ``run_trainer``, from what the observer collected in a training of ``steps``."""
    *before, last_loss = _epoch_losses(losses, [*(step for step, _ in curve), steps])
    epochs = [
        epoch_of(number, loss, probabilities, labels)
        for number, (loss, (_, probabilities)) in enumerate(zip(before, curve, strict=True), 1)
    ]
    return tuple(epochs), last_loss


def _epoch_losses(losses: Sequence[tuple[int, float]], ends: Sequence[int]) -> list[float]:
    """Return the mean loss of each epoch, from the losses of ``Observer`` and the last step of each epoch."""
    means = []
    begin = 0
    for end in ends:
        total, last = 0.0, begin
        for step, loss in losses:
            if begin < step <= end:
                total += loss * (step - last)
                last = step
        means.append(round(total / (end - begin), 6))
        begin = end
    return means
