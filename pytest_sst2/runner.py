"""Runner: a cell and its splits in, a Record out."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_sst2 import metrics
from pytest_sst2.diagnosis import collapse_warnings, company_warnings, disagreement_warnings, overlap_warnings
from pytest_sst2.errors import Sst2Error
from pytest_sst2.methods import Classifier, Job, Trained, train
from pytest_sst2.records import Environment, Interval, Latency, Phase, Record
from pytest_sst2.timing import PeakMemory, PhaseClock

if TYPE_CHECKING:
    from pytest_sst2.floors import Floor, FloorKey
    from pytest_sst2.models import ModelLoader
    from pytest_sst2.recipes import Recipe
    from pytest_sst2.registry import Cell
    from pytest_sst2.splits import Splits

LATENCY_SAMPLES = 50
_LATENCY_WARM_UP = 3


@dataclass(frozen=True)
class Round:
    """One repetition of a cell. ``probabilities`` has the shape of the evaluation rows."""

    trained: Trained
    probabilities: np.ndarray
    phases: tuple[Phase, ...]
    seconds: float
    peak_bytes: int
    device_peak_bytes: int | None

    @property
    def predictions(self) -> np.ndarray:
        """Class numbers, 0 or 1; a probability of exactly one half is negative."""
        return (self.probabilities > 0.5).astype(np.int64)


class CellRunner:
    """Trains and measures one cell.

    Args:
        cell: What to train.
        recipe: Its settings.
        splits: Its rows.
        loader: Loads its model.
        environment: What it runs on.
        metric_names: Further metrics beside accuracy.
    """

    def __init__(
        self,
        cell: Cell,
        recipe: Recipe,
        splits: Splits,
        loader: ModelLoader,
        environment: Environment,
        metric_names: Sequence[str] = (),
    ) -> None:
        self.cell = cell
        self.recipe = recipe
        self.splits = splits
        self.loader = loader
        self.environment = environment
        self.metric_names = metric_names
        self.rounds: list[Round] = []
        self._weights = loader.locate(cell.model).weights if cell.model else None

    def run_round(self) -> None:
        """Train from scratch, predict the evaluation rows, and keep the outcome in ``rounds``.

        The model of the round before is let go first, so that memory is that of one.

        Raises:
            Sst2Error: The cell cannot be trained, or its classifier returns something else than probabilities.
        """
        if self.rounds:
            self.rounds[-1] = _without_model(self.rounds[-1])
        gc.collect()
        _reset_device_peak(self.loader.device)
        clock = PhaseClock(_synchronizer(self.loader.device))
        job = Job(
            train=self.splits.train,
            evaluation=self.splits.evaluation,
            recipe=self.recipe,
            seed=self.cell.seed,
            clock=clock,
            loader=self.loader,
            model=self.cell.model,
        )
        start = time.perf_counter()
        with PeakMemory() as memory:
            trained = train(self.cell.method, job)
            with clock.phase("predict", examples=len(job.evaluation)):
                probabilities = self._probabilities(trained.predict)
        seconds = time.perf_counter() - start
        device_peak = _device_peak(self.loader.device)
        self.rounds.append(Round(trained, probabilities, clock.phases, seconds, memory.peak_bytes, device_peak))

    def record(self, floor_for: Callable[[FloorKey], Floor | None]) -> Record:
        """Return the Record of the rounds run so far (at least one), with the floor that holds for it.

        Numbers are those of the first round; the phases are those of the round with the median total time.
        """
        first, last = self.rounds[0], self.rounds[-1]
        labels = self.splits.evaluation.labels
        correct = int((first.predictions == labels).sum())
        record = Record(
            cell=self.cell.id,
            model=self.cell.model.name if self.cell.model else None,
            method=self.cell.method.name,
            seed=self.cell.seed,
            accuracy=metrics.compute("accuracy", first.predictions, labels),
            accuracy_interval=wilson_interval(correct, len(labels)),
            correct=correct,
            total=len(labels),
            majority_accuracy=majority_accuracy(self.splits.train.labels, labels),
            dataset=self.splits.info,
            recipe=self.recipe,
            recipe_label=self.recipe.label,
            environment=self.environment,
            weights=self._weights,
            settings=first.trained.settings,
            predictions=tuple(first.predictions.tolist()),
            probabilities=tuple(round(float(p), 6) for p in first.probabilities),
            phases=median_round(self.rounds).phases,
            rounds_seconds=tuple(round(each.seconds, 6) for each in self.rounds),
            latency=self._latency(last.trained.predict),
            peak_bytes=max(each.peak_bytes for each in self.rounds),
            device_peak_bytes=max((each.device_peak_bytes or 0 for each in self.rounds), default=0) or None,
            epochs=tuple(first.trained.epochs),
            metrics={name: metrics.compute(name, first.predictions, labels) for name in self.metric_names},
            warnings=(
                *first.trained.warnings,
                *collapse_warnings(self.cell.method.name, first.predictions),
                *overlap_warnings(self.splits.train, self.splits.evaluation),
                *disagreement_warnings([each.predictions for each in self.rounds]),
                *company_warnings(),
            ),
        )
        return dataclasses.replace(record, floor=floor_for(record.floor_key))

    def _probabilities(self, predict: Classifier) -> np.ndarray:
        sentences = self.splits.evaluation.sentences
        raw = predict(sentences)
        try:
            probabilities = np.asarray(raw, dtype=np.float64)
        except (TypeError, ValueError):
            probabilities = np.empty(0)
        if probabilities.shape != (len(sentences),):
            raise Sst2Error(
                f"method {self.cell.method.name!r} returned {_described(raw)} for {len(sentences)} sentences; an array "
                f"of shape ({len(sentences)},) with the probability of the positive class is wanted."
            )
        if not np.isfinite(probabilities).all() or probabilities.min() < 0 or probabilities.max() > 1:
            wrong = int((~((probabilities >= 0) & (probabilities <= 1))).sum())
            raise Sst2Error(
                f"method {self.cell.method.name!r} returned {wrong} of {len(sentences)} values that are no "
                "probabilities (not a number, or outside 0 to 1)."
            )
        return probabilities

    def _latency(self, predict: Classifier) -> Latency:
        sentences = self.splits.evaluation.sentences[:LATENCY_SAMPLES]
        synchronize = _synchronizer(self.loader.device)
        for sentence in sentences[:_LATENCY_WARM_UP]:
            predict([sentence])
        seconds = []
        for sentence in sentences:
            synchronize()
            start = time.perf_counter()
            predict([sentence])
            synchronize()
            seconds.append(time.perf_counter() - start)
        p50, p95 = np.percentile(seconds, [50, 95])
        return Latency(round(float(p50), 6), round(float(p95), 6), len(seconds))


def wilson_interval(correct: int, total: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's score interval for a share (Wilson 1927, Journal of the American Statistical Association 22).

    Raises:
        ValueError: ``total`` is not positive or ``correct`` is not between 0 and ``total``.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence_level=confidence, method="wilson")
    return Interval(round(float(interval.low), 6), round(float(interval.high), 6))


def majority_accuracy(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of always answering the commoner class of the training rows (negative when they tie)."""
    answer = int(train_labels.mean() > 0.5)
    return float((labels == answer).mean())


def median_round(rounds: Sequence[Round]) -> Round:
    """Return the round with the median total time (the lower of the two middle ones for an even number)."""
    middle = statistics.median_low([each.seconds for each in rounds])
    return next(each for each in rounds if each.seconds == middle)


def _without_model(done: Round) -> Round:
    def gone(_sentences: Sequence[str]) -> np.ndarray:
        raise RuntimeError("the model of an earlier round was let go")

    return dataclasses.replace(done, trained=dataclasses.replace(done.trained, predict=gone))


def _described(value: object) -> str:
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"{type(value).__name__}"


def _synchronizer(device: str) -> Callable[[], None]:
    """Return what waits until the device has done all work queued on it."""
    import torch

    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)


def _reset_device_peak(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _device_peak(device: str) -> int | None:
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else None
