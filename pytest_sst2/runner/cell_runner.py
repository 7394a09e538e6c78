"""Trains and measures one cell and returns its Record."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.instruments.environment import at_this_moment
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.machine_speed import machine_seconds, synchronizer
from pytest_sst2.instruments.measured_encoder import MeasuredEncoder
from pytest_sst2.instruments.memory import PeakMemory, device_peak_bytes, reset_device_peak
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.instruments.progress import UNNAMED_PHASE
from pytest_sst2.methods.base import Classifier, Job, function_of, train
from pytest_sst2.methods.code_digest import code_digest
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from pytest_sst2.methods.majority import majority_accuracy
from pytest_sst2.models.out_of_memory import is_accelerator_full, is_out_of_memory, release_memory
from pytest_sst2.results.record import Environment, Interval, Placement, Record
from pytest_sst2.runner import metrics
from pytest_sst2.runner.latency import measure_latency
from pytest_sst2.runner.measured_round import MeasuredRound
from pytest_sst2.runner.predictions import validate_probabilities
from pytest_sst2.runner.result_warnings import (
    collapse_warnings,
    concurrency_warnings,
    environment_warnings,
    halving_warnings,
    irreproducibility_warnings,
    nondeterminism_warnings,
    overlap_warnings,
    padding_warnings,
    randomness_warnings,
    sample_size_warnings,
)
from pytest_sst2.utils.clock import CLOCK

if TYPE_CHECKING:
    from pytest_sst2.config.recipes import ComputationPath, Recipe
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.data.splits import Splits
    from pytest_sst2.instruments.progress import Progress
    from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
    from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
    from pytest_sst2.models.loader import ModelLoader
    from pytest_sst2.results.fingerprint import Fingerprint
    from pytest_sst2.results.floors import Floor, FloorKey
    from pytest_sst2.runner.turns import Turns

# Number of parts of a batch after the accelerator ran out of memory.
_HALVES = 2
# The machine's speed is not measured again within this time.
_MACHINE_SPEED_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Shared:
    """What the cells of a run share.

    Attributes:
        recipe: Sizes, learning rate, maximum lengths and precision.
        loader: Loads models.
        placement: Machine and worker, and the number of concurrent workers.
        metric_names: Metrics in addition to accuracy.
        cache: Caches embeddings between runs; None to compute all of them, so that every time is measured.
        frozen: Keeps the frozen encoder of the cell before; None to load each encoder anew.
        measured: Keeps what was measured of the encoder of the cell before; None to measure each encoder anew.
        progress: Receives the current phase and step.
        path: ``fast`` or ``stock``.
        turns: Takes turns with the process of another environment; None without one.
    """

    recipe: Recipe
    loader: ModelLoader
    placement: Placement
    metric_names: Sequence[str] = ()
    cache: EmbeddingCache | None = None
    frozen: FrozenEncoder | None = None
    measured: MeasuredEncoder | None = None
    progress: Progress | None = None
    path: ComputationPath = "fast"
    turns: Turns | None = None


class CellRunner:
    """Trains and measures one cell.

    Args:
        cell: The model, method and seed.
        splits: The training and evaluation rows.
        environment: Hardware and packages.
        shared: What the cells of the run share.
        first_environment: The environment of the run's first cell; None if this is the first.
    """

    def __init__(
        self,
        cell: Cell,
        splits: Splits,
        environment: Environment,
        shared: Shared,
        first_environment: Environment | None = None,
    ) -> None:
        self.cell = cell
        self.splits = splits
        self.environment = environment
        self._shared = shared
        self._device, self._synchronize = shared.loader.device, synchronizer(shared.loader.device)
        self._started, self._began = round(CLOCK.now(), 3), CLOCK.seconds()
        self._placement = dataclasses.replace(shared.placement, started=self._started)
        self._first_environment = first_environment or environment
        self.rounds: list[MeasuredRound] = []
        # Number of parts into which each batch is divided.
        self._parts = 1
        # The machine's speed before the current round and between its phases.
        self._machine_seconds: list[float] = []
        self._machine_measured = 0.0
        self._code = code_digest(function_of(cell.method))
        located = shared.loader.locate(cell.model) if cell.model else None
        self._weights = located.weights if located else None
        # About the model's files, such as weights that were converted from a pickle; mostly empty.
        self._model_note = located.note if located else ""
        self._turns = shared.turns
        if self._turns is not None:
            self._turns.enter_cell()

    def prepare_round(self) -> None:
        """Free the memory of the round before, and measure the machine's speed. The round does not time this."""
        if self._turns is not None:
            self._turns.wait()
        if self.rounds:
            self.rounds[-1] = self.rounds[-1].without_model()
        gc.collect()
        reset_device_peak(self._device)
        self._machine_seconds = []
        self._measure_machine()

    def run_round(self) -> None:
        """Train from scratch, predict the evaluation rows, and append the outcome to ``rounds``.

        If an accelerator runs out of memory in the first round, start it again once with halved batches.

        Raises:
            Sst2Error: The cell cannot be trained, or its classifier returns invalid probabilities.
        """
        self._run_round()
        if self._turns is not None:
            self._turns.finish_round()

    def _run_round(self) -> None:
        try:
            self.rounds.append(self._measured_round())
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if self._shared.frozen is not None:
                self._shared.frozen.release()
            release_memory(error)
            if not (is_accelerator_full(error) and self._may_halve):
                raise
        else:
            return
        # Outside the handler, which would keep the memory of the first attempt alive.
        self._parts = _HALVES
        self.prepare_round()
        self.rounds.append(self._measured_round())

    @property
    def _may_halve(self) -> bool:
        """Whether batches may be halved: once, in the first round, for a built-in method with a model.

        A method that a conftest defines forms its own batches.
        """
        is_built_in = self.cell.model is not None and not self._code
        return is_built_in and self._parts == 1 and not self.rounds

    def _measured_round(self) -> MeasuredRound:
        clock = PhaseClock(self._synchronize, self._measure_machine, self._shared.progress, self._turns)
        recorder = FingerprintRecorder(
            clock, enabled=not self.rounds, whole_batches=self._parts == 1, before=self._shared.measured
        )
        job = self._job(clock, recorder)
        kept = freed_memory_kept() if self._shared.path == "fast" else contextlib.nullcontext()
        with PeakMemory() as memory, kept, clock.phase(UNNAMED_PHASE):
            trained = train(self.cell.method, job)
            with clock.phase("predict", examples=len(job.evaluation)), recorder.predicting():
                probabilities = self._checked(trained.predict)(job.evaluation.sentences)
        return MeasuredRound(
            trained,
            probabilities,
            recorder,
            clock.phases,
            tuple(self._machine_seconds),
            memory.peak_bytes,
            memory.peak_bytes - memory.start_bytes,
            device_peak_bytes(self._device),
        )

    def run_rounds(self, count: int) -> None:
        """Run rounds until there are ``count``; raises as ``run_round``."""
        while len(self.rounds) < count:
            self.prepare_round()
            self.run_round()

    def _job(self, clock: PhaseClock, recorder: FingerprintRecorder) -> Job:
        return Job(
            train=self.splits.train,
            evaluation=self.splits.evaluation,
            recipe=self._shared.recipe,
            seed=self.cell.seed,
            clock=clock,
            loader=self._shared.loader,
            recorder=recorder,
            model=self.cell.model,
            cache=self._shared.cache,
            frozen=self._shared.frozen,
            parts=self._parts,
            path=self._shared.path,
        )

    def record(self, floor_for: Callable[[FloorKey], Floor | None]) -> Record:
        """Return the Record of the rounds run so far, at least one.

        Accuracy, predictions, learning curve and fingerprints are those of the first round.

        Args:
            floor_for: Looks up the floor of a cell.
        """
        if self._turns is not None:
            self._turns.wait_for_rounds()
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
            recipe=self._shared.recipe,
            recipe_label=self._shared.recipe.label,
            environment=self.environment,
            placement=self._placement,
            weights=self._weights,
            settings={**first.trained.settings, **({"code": self._code} if self._code else {})},
            fingerprint=fingerprint,
            path=self._shared.path,
            labels=tuple(labels.tolist()),
            predictions=tuple(first.predictions.tolist()),
            probabilities=tuple(round(float(p), 6) for p in first.probabilities),
            rounds=tuple(measured.cost() for measured in self.rounds),
            latency=measure_latency(predict, self.splits.evaluation.sentences, self._synchronize),
            epochs=first.learning_curve(labels),
            metrics={name: metrics.compute(name, first.predictions, labels) for name in self._shared.metric_names},
            warnings=self._warnings(interval, majority, fingerprint),
        )
        # Not by the wall clock, which may have been set back meanwhile.
        end = round(self._started + CLOCK.seconds() - self._began, 3)
        finished = dataclasses.replace(self._placement, finished=end)
        return dataclasses.replace(record, placement=finished, floor=floor_for(record.floor_key))

    def _warnings(self, interval: Interval, majority: float, fingerprint: Fingerprint) -> tuple[str, ...]:
        first, environment = self.rounds[0], self.environment
        return (
            *first.trained.warnings,
            *filter(None, [self._model_note]),
            *halving_warnings(self._parts),
            *collapse_warnings(self.cell.method.name, first.predictions, interval, majority),
            *overlap_warnings(self.splits.train, self.splits.evaluation),
            *irreproducibility_warnings([measured.predictions for measured in self.rounds]),
            *randomness_warnings(fingerprint.repeat_max_diff),
            *padding_warnings(fingerprint.encoder.batch_sensitivity if fingerprint.encoder else 0.0),
            *sample_size_warnings(
                len(self._shared.recipe.seeds), len(self.splits.evaluation), is_random=self._is_random(fingerprint)
            ),
            *concurrency_warnings(self._placement.concurrent_workers),
            *environment_warnings(self._first_environment, environment, at_this_moment(environment)),
            *nondeterminism_warnings(environment.device, deterministic=environment.deterministic),
        )

    def _is_random(self, fingerprint: Fingerprint) -> bool:
        """Return whether the seed decides more than the rows: in random steps, or perhaps in a conftest's method."""
        return self.cell.method.trains and (fingerprint.trains_in_steps or bool(self._code))

    def _measure_machine(self) -> None:
        """Measure the machine's speed, unless it was measured just before. Short phases share one measurement."""
        now = CLOCK.seconds()
        if self._machine_seconds and now - self._machine_measured < _MACHINE_SPEED_SECONDS:
            return
        self._machine_seconds.append(machine_seconds(self._device, self.environment.threads))
        self._machine_measured = CLOCK.seconds()

    def _checked(self, predict: Classifier) -> Classifier:
        """Return a classifier that raises an error if it predicts invalid probabilities."""
        return lambda sentences: validate_probabilities(predict(sentences), len(sentences), self.cell.method.name)
