"""The outcome of one round: a trained classifier, its predictions, its times and its memory."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.instruments.fingerprint_recorder import PHASE as FINGERPRINT_PHASE
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.progress import UNNAMED_PHASE
from pytest_sst2.methods.base import Trained, epoch_of
from pytest_sst2.results.record import Epoch, Phase, Round


@dataclass(frozen=True)
class MeasuredRound:
    """One round of a cell.

    Attributes:
        trained: The classifier.
        probabilities: Its probabilities for the evaluation rows, shape (n,).
        recorder: The fingerprints; enabled in the first round only.
        phases: Phases with their seconds, the unnamed phase included.
        machine_seconds: The machine's speed before the round and between its phases.
        peak_bytes: Highest memory of the process.
        peak_growth_bytes: That, less the memory at the start of the round.
        device_peak_bytes: Highest memory of the accelerator; None without one.
    """

    trained: Trained
    probabilities: np.ndarray
    recorder: FingerprintRecorder
    phases: tuple[Phase, ...]
    machine_seconds: tuple[float, ...]
    peak_bytes: int
    peak_growth_bytes: int
    device_peak_bytes: int | None

    @property
    def predictions(self) -> np.ndarray:
        """Predicted classes, 0 or 1. A probability of exactly 0.5 is negative."""
        return (self.probabilities > 0.5).astype(np.int64)

    def cost(self) -> Round:
        """Return seconds and memory for the record, without the time that the fingerprints took.

        The machine's speed is the mean over the start of the round and its phases; None if no time passed.
        """
        unit = statistics.mean(self.machine_seconds) or None
        phases = [phase for phase in self.phases if phase.name != FINGERPRINT_PHASE]
        return Round(
            seconds=round(sum(phase.seconds for phase in phases), 6),
            phases=tuple(phase for phase in phases if phase.name != UNNAMED_PHASE),
            machine_seconds=round(unit, 9) if unit else None,
            machine_spread=round((max(self.machine_seconds) - min(self.machine_seconds)) / unit, 4) if unit else 0.0,
            peak_bytes=self.peak_bytes,
            peak_growth_bytes=self.peak_growth_bytes,
            device_peak_bytes=self.device_peak_bytes,
        )

    def learning_curve(self, labels: np.ndarray) -> tuple[Epoch, ...]:
        """Return the method's learning curve. Its last point is the measured classifier.

        Args:
            labels: Labels of the evaluation rows, shape (n,).
        """
        trained = self.trained
        if trained.last_train_loss is None:
            return tuple(trained.epochs)
        last = epoch_of(len(trained.epochs) + 1, trained.last_train_loss, self.probabilities, labels)
        return (*trained.epochs, last)

    def without_model(self) -> MeasuredRound:
        """Return the round with a classifier that raises, so that the model's memory is freed."""

        def released(_sentences: Sequence[str]) -> np.ndarray:
            raise RuntimeError("the model of an earlier round was released")

        return dataclasses.replace(self, trained=dataclasses.replace(self.trained, predict=released))
