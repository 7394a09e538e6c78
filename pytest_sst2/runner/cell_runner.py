"""Runner: a cell and its splits in, a Record out."""

from __future__ import annotations

import dataclasses
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.instruments.fingerprint_recorder import PHASE as FINGERPRINT_PHASE
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.machine_speed import machine_seconds, synchronizer
from pytest_sst2.instruments.memory import PeakMemory, device_peak_bytes, reset_device_peak
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.base import Classifier, Job, Trained, code_digest, epoch_of, train
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from pytest_sst2.models.out_of_memory import HALVES, is_accelerator_full, is_out_of_memory, let_go
from pytest_sst2.results.record import Environment, Epoch, Phase, Placement, Record, Round
from pytest_sst2.runner import metrics
from pytest_sst2.runner.latency import measure_latency
from pytest_sst2.runner.predictions import checked_probabilities
from pytest_sst2.runner.result_warnings import (
    collapse_warnings,
    company_warnings,
    disagreement_warnings,
    evidence_warnings,
    halving_warnings,
    overlap_warnings,
    passes_warnings,
    repetition_warnings,
)

if TYPE_CHECKING:
    from pytest_sst2.config.recipes import Recipe
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.data.splits import Splits
    from pytest_sst2.instruments.progress import Progress
    from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
    from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
    from pytest_sst2.models.loader import ModelLoader
    from pytest_sst2.results.floors import Floor, FloorKey

_MACHINE_EVERY_SECONDS = 0.5
# Time of a round that no phase of its method accounts for.
_REST = "rest"


@dataclass(frozen=True)
class Repetition:
    """One round of a cell and what came of it. ``probabilities`` has the shape of the evaluation rows."""

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
        placement: Where that is, and beside what.
        metric_names: Further metrics beside accuracy.
        cache: Keeps embeddings from run to run; None where every figure is to be one of work done.
        frozen: Keeps the frozen encoder of the cell before, likewise.
        progress: Told what is being done.
    """

    def __init__(
        self,
        cell: Cell,
        recipe: Recipe,
        splits: Splits,
        loader: ModelLoader,
        environment: Environment,
        placement: Placement,
        metric_names: Sequence[str] = (),
        cache: EmbeddingCache | None = None,
        frozen: FrozenEncoder | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.cell = cell
        self.recipe = recipe
        self.splits = splits
        self.loader = loader
        self.environment = environment
        self._started, self._began = round(time.time(), 3), time.perf_counter()
        self.placement = dataclasses.replace(placement, started=self._started)
        self.metric_names = metric_names
        self.cache = cache
        self.frozen = frozen
        self.progress = progress
        self.rounds: list[Repetition] = []
        # Into how many parts each batch is divided.
        self._parts = 1
        # The machine's own speed before the round at work and between its phases.
        self._machine_seconds: list[float] = []
        self._machine_measured = 0.0
        self._code = code_digest(cell.method)
        self._weights = loader.locate(cell.model).weights if cell.model else None

    def prepare_round(self) -> None:
        """Make the machine ready for a round, and measure its speed; not part of what is timed.

        The model of the round before is let go first, so that memory is that of one.
        """
        if self.rounds:
            self.rounds[-1] = _without_model(self.rounds[-1])
        gc.collect()
        reset_device_peak(self.loader.device)
        self._machine_seconds = []
        self._measure_machine()

    def run_round(self) -> None:
        """Train from scratch, predict the evaluation rows, and keep the outcome in ``rounds``.

        Where an accelerator's memory is too small for the first round, that is begun anew, once, with batches halved.

        Raises:
            Sst2Error: The cell cannot be trained, or its classifier returns something else than probabilities.
        """
        try:
            self.rounds.append(self._repetition())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self.frozen is not None:
                self.frozen.release()
            let_go(error)
            if not (is_accelerator_full(error) and self._may_halve):
                raise
        else:
            return
        # Not in the handler, which would keep what the first attempt had loaded.
        self._parts = HALVES
        self.prepare_round()
        self.rounds.append(self._repetition())

    @property
    def _may_halve(self) -> bool:
        """Whether batches may be halved: once, and before anything was measured.

        A method that a conftest adds makes batches of its own, if any.
        """
        ours = self.cell.model is not None and not self._code
        return ours and self._parts == 1 and not self.rounds

    def _repetition(self) -> Repetition:
        clock = PhaseClock(synchronizer(self.loader.device), self._measure_machine, self.progress)
        recorder = FingerprintRecorder(clock, enabled=not self.rounds, whole_batches=self._parts == 1)
        job = self._job(clock, recorder)
        with PeakMemory() as memory, freed_memory_kept(), clock.phase(_REST):
            trained = train(self.cell.method, job)
            with clock.phase("predict", examples=len(job.evaluation)):
                probabilities = self._checked(trained.predict)(job.evaluation.sentences)
        return Repetition(
            trained,
            probabilities,
            recorder,
            clock.phases,
            tuple(self._machine_seconds),
            memory.peak_bytes,
            memory.peak_bytes - memory.start_bytes,
            device_peak_bytes(self.loader.device),
        )

    def run_rounds(self, count: int) -> None:
        """Run what is lacking of ``count`` rounds, none of them timed by anybody else; raises as ``run_round``."""
        while len(self.rounds) < count:
            self.prepare_round()
            self.run_round()

    def _job(self, clock: PhaseClock, recorder: FingerprintRecorder) -> Job:
        return Job(
            train=self.splits.train,
            evaluation=self.splits.evaluation,
            recipe=self.recipe,
            seed=self.cell.seed,
            clock=clock,
            loader=self.loader,
            recorder=recorder,
            model=self.cell.model,
            cache=self.cache,
            frozen=self.frozen,
            parts=self._parts,
        )

    def record(self, floor_for: Callable[[FloorKey], Floor | None]) -> Record:
        """Return the Record of the rounds run so far (at least one), with the floor that holds for it.

        Numbers are those of the first round.
        """
        first, predict = self.rounds[0], self.rounds[-1].trained.predict
        labels = self.splits.evaluation.labels
        correct = int((first.predictions == labels).sum())
        interval = wilson_interval(correct, len(labels))
        majority = majority_accuracy(self.splits.train.labels, labels)
        fingerprint = first.recorder.fingerprint(self.splits.train, self.splits.evaluation, self._checked(predict))
        record = Record(
            cell=self.cell.id,
            model=self.cell.model_name,
            method=self.cell.method.name,
            seed=self.cell.seed,
            accuracy=metrics.compute("accuracy", first.predictions, labels),
            accuracy_interval=interval,
            correct=correct,
            total=len(labels),
            majority_accuracy=majority,
            dataset=self.splits.info,
            recipe=self.recipe,
            recipe_label=self.recipe.label,
            environment=self.environment,
            placement=self.placement,
            weights=self._weights,
            settings={**first.trained.settings, **({"code": self._code} if self._code else {})},
            fingerprint=fingerprint,
            labels=tuple(labels.tolist()),
            predictions=tuple(first.predictions.tolist()),
            probabilities=tuple(round(float(p), 6) for p in first.probabilities),
            rounds=tuple(self._costs()),
            latency=measure_latency(predict, self.splits.evaluation.sentences, synchronizer(self.loader.device)),
            epochs=_learning_curve(first, labels),
            metrics={name: metrics.compute(name, first.predictions, labels) for name in self.metric_names},
            warnings=(
                *first.trained.warnings,
                *halving_warnings(self._parts),
                *collapse_warnings(self.cell.method.name, first.predictions, interval, majority),
                *overlap_warnings(self.splits.train, self.splits.evaluation),
                *disagreement_warnings([each.predictions for each in self.rounds]),
                *passes_warnings(fingerprint.repeat_max_diff),
                *evidence_warnings(len(self.recipe.seeds), len(labels)),
                *company_warnings(self.placement.concurrent_workers),
                *repetition_warnings(self.environment.device, deterministic=self.environment.deterministic),
            ),
        )
        # Not by the clock, which may have been put back meanwhile.
        end = round(self._started + time.perf_counter() - self._began, 3)
        finished = dataclasses.replace(self.placement, finished=end)
        return dataclasses.replace(record, placement=finished, floor=floor_for(record.floor_key))

    def _measure_machine(self) -> None:
        """Take the machine's speed, unless that was just done: phases of milliseconds need no unit of their own."""
        now = time.perf_counter()
        if self._machine_seconds and now - self._machine_measured < _MACHINE_EVERY_SECONDS:
            return
        self._machine_seconds.append(machine_seconds(self.loader.device, self.environment.threads))
        self._machine_measured = time.perf_counter()

    def _costs(self) -> Iterator[Round]:
        """Give what each round cost, in order; the machine's speed is the mean over its beginning and its phases."""
        for each in self.rounds:
            unit = statistics.mean(each.machine_seconds)
            phases = [phase for phase in each.phases if phase.name != FINGERPRINT_PHASE]
            yield Round(
                seconds=round(sum(phase.seconds for phase in phases), 6),
                phases=tuple(phase for phase in phases if phase.name != _REST),
                machine_seconds=round(unit, 9),
                machine_spread=round((max(each.machine_seconds) - min(each.machine_seconds)) / unit, 4),
                peak_bytes=each.peak_bytes,
                peak_growth_bytes=each.peak_growth_bytes,
                device_peak_bytes=each.device_peak_bytes,
            )

    def _checked(self, predict: Classifier) -> Classifier:
        """Return a classifier whose answers are refused where they are no probabilities."""
        return lambda sentences: checked_probabilities(predict(sentences), len(sentences), self.cell.method.name)


def majority_accuracy(train_labels: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of always answering the commoner class of the training rows (negative when they tie)."""
    answer = int(train_labels.mean() > 0.5)
    return float((labels == answer).mean())


def _learning_curve(done: Repetition, labels: np.ndarray) -> tuple[Epoch, ...]:
    """Return a method's learning curve with its last point, the classifier that was measured."""
    trained = done.trained
    if trained.last_train_loss is None:
        return tuple(trained.epochs)
    last = epoch_of(len(trained.epochs) + 1, trained.last_train_loss, done.probabilities, labels)
    return (*trained.epochs, last)


def _without_model(done: Repetition) -> Repetition:
    def gone(_sentences: Sequence[str]) -> np.ndarray:
        raise RuntimeError("the model of an earlier round was let go")

    return dataclasses.replace(done, trained=dataclasses.replace(done.trained, predict=gone))
