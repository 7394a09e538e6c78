"""What the cells of one run share: data, device, models, floors and caches, each loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.sources import Source, source_of
from pytest_sst2.data.splits import Splits, draw_splits
from pytest_sst2.instruments import environment
from pytest_sst2.instruments.measured_encoder import MeasuredEncoder
from pytest_sst2.instruments.progress import Progress
from pytest_sst2.methods.base import function_of
from pytest_sst2.methods.code_digest import code_digest
from pytest_sst2.methods.fast.embedding_cache import NOT_CACHED, EmbeddingCache
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.methods.fast.malloc import collector_paused
from pytest_sst2.models.classifier_head import NoHeadError
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.variants import check_variant
from pytest_sst2.results.floors import Floor, FloorKey, Floors, load_floors
from pytest_sst2.results.resume import Conditions
from pytest_sst2.runner import metrics, placement
from pytest_sst2.runner.cell_runner import CellRunner, Shared
from pytest_sst2.runner.turns import Turns, turns_of_process
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.compare.seed_schedule import SeedSchedule
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.results.file import Results
    from pytest_sst2.results.record import Environment, Record
    from pytest_sst2.runner.executor import Executor

# Floors of the benchmarks in the installed package.
_INSTALLED_FLOORS = Path(__file__).parents[1] / "benchmarks" / "floors.toml"


class RunContext:
    """The data, device, models and floors of one run.

    Args:
        settings: Settings of the run.
        floors: Floors of the file in ``--sst2-floors``; None without the option.
        baseline: Results that the run is compared with, or None.
        unfinished: Results of the file in ``--sst2-resume``, or None.
        schedule: Decides which seeds are needed; None if all are.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        floors: Floors | None = None,
        baseline: Results | None = None,
        unfinished: Results | None = None,
        schedule: SeedSchedule | None = None,
    ) -> None:
        self.settings = settings
        self.baseline = baseline
        self.schedule = schedule
        self._given_floors = floors
        self._splits: dict[int, Splits] = {}
        self.frozen = FrozenEncoder()
        self._measured = MeasuredEncoder()
        self.progress = Progress()
        self.placement = placement.here(exclusive=settings.exclusive)
        self._unfinished = {record.cell: record for record in unfinished.records} if unfinished else {}
        # Measures the cells; None if this process does.
        self.executor: Executor | None = None

    @cached_property
    def source(self) -> Source:
        """The data set."""
        return source_of(self.settings, floors=self._given_floors, baseline=self.baseline)

    @cached_property
    def device(self) -> str:
        """The device, with ``auto`` resolved; the CPU if cells run on Ray."""
        if self.settings.executor == "ray":
            return "cpu"
        return environment.resolve_device(self.settings.device)

    @cached_property
    def loader(self) -> ModelLoader:
        """Loads models onto the device."""
        settings = self.settings
        return ModelLoader(self.device, trust_remote_code=settings.trust_remote_code, verbose=settings.talkative)

    @property
    def environment(self) -> Environment:
        """Hardware and packages of this process, and its threads and precision at this moment."""
        return environment.collect_environment(self.device)

    @cached_property
    def _first_environment(self) -> Environment:
        """The environment of the first cell."""
        return self.environment

    @cached_property
    def floors(self) -> Floors:
        """The floors: of ``--sst2-floors``, the project, or the installed package; none when calibrating."""
        if self.settings.calibrate_floors:
            return Floors({})
        if self._given_floors is not None:
            return self._given_floors
        for path in (self.settings.floors_path, _INSTALLED_FLOORS):
            if path.is_file():
                return load_floors(path)
        return Floors({})

    @cached_property
    def cache(self) -> EmbeddingCache | None:
        """The embedding cache; None if it is switched off, times are measured, or the path is not fast."""
        if self.settings.cache_bytes is None or self.settings.path != "fast":
            return None
        try:
            return EmbeddingCache(cache_folder(), self.settings.cache_bytes)
        except Sst2Error as error:
            return EmbeddingCache(None, 0, f"{NOT_CACHED}: {error}")

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics in addition to accuracy, checked."""
        metrics.check_metrics(self.settings.metrics, trust_remote_code=self.settings.trust_remote_code)
        return self.settings.metrics

    def check(self, cells: Iterable[Cell] = ()) -> None:
        """Load everything that does not depend on a model, to report mistakes before any cell runs.

        Data that needs no download comes first, because torch takes seconds to import. Models of cells that train
        nothing come before a download. One without a head ends the run; any other error is that of its cell.

        Raises:
            Sst2Error: Data, floors, metrics, device or sizes are invalid, a variant's libraries cannot be used, or a
                checkpoint has no head.
        """
        with collector_paused():
            cells = list(cells)
            if self.settings.data not in ("auto", "hub"):
                self._draw()
            for model in dict.fromkeys(cell.model for cell in cells if cell.model):
                check_variant(model, self.device, is_here=self.settings.executor != "ray")
            if self.settings.executor != "ray":
                self._check_heads(cells)
            _ = self.metric_names, self.floors, self.device
            self._draw()

    def _draw(self) -> None:
        for seed in self.settings.recipe.seeds:
            self.splits(seed)

    def _check_heads(self, cells: Iterable[Cell]) -> None:
        for model in dict.fromkeys(cell.model for cell in cells if not cell.method.trains):
            if model is None:
                continue
            try:
                self.loader.sequence_classifier(model, needs_head=True)
            except NoHeadError:
                raise
            except Sst2Error:
                continue

    def splits(self, seed: int) -> Splits:
        """Return the rows that the recipe draws with ``seed``."""
        if seed not in self._splits:
            self._splits[seed] = draw_splits(self.source, self.settings.recipe, seed)
        return self._splits[seed]

    def floor_for(self, key: FloorKey) -> Floor | None:
        """Return the floor of a cell: ``--sst2-min-accuracy``, or the one in the floors file, or None."""
        if self.settings.min_accuracy is not None:
            return Floor(self.settings.min_accuracy, "given by --sst2-min-accuracy")
        return self.floors.find(key)

    def runner(self, cell: Cell) -> CellRunner:
        """Return the runner that trains and measures ``cell``."""
        with collector_paused():
            shared = Shared(
                recipe=self.settings.recipe,
                loader=self.loader,
                placement=self.placement,
                metric_names=self.metric_names,
                cache=self.cache,
                frozen=self.frozen if self.cache is not None else None,
                measured=self._measured,
                progress=self.progress,
                path=self.settings.path,
                turns=self._turns,
            )
            return CellRunner(cell, self.splits(cell.seed), self.environment, shared, self._first_environment)

    @cached_property
    def _turns(self) -> Turns | None:
        """This process's side of a turn; None without one, and on a cluster."""
        return None if self.settings.executor == "ray" else turns_of_process()

    def measured_before(self, cell: Cell) -> tuple[Record | None, str]:
        """Return the record of a cell in the file of ``--sst2-resume``, or why it cannot be reused.

        Returns:
            The record with the current floor, and ""; or None and the difference in conditions, which is "" if the
            file has no record of the cell.

        Raises:
            Sst2Error: The cell's model cannot be located.
        """
        before = self._unfinished.get(cell.id)
        if before is None or (before.model, before.method) != (cell.model_name, cell.method.name):
            return None, ""
        now = Conditions(
            recipe=self.settings.recipe,
            digest=self.splits(cell.seed).info.digest,
            weights=self.loader.locate(cell.model).weights if cell.model else None,
            environment=self._environment_for(cell),
            code=code_digest(function_of(cell.method)),
            metrics=self.metric_names,
            rounds=self.settings.rounds,
            timed=self.cache is None,
            exclusive=self.settings.exclusive,
            anywhere=self.executor is not None,
            path=self.settings.path,
        )
        if reason := now.differ_from(before):
            return None, reason
        return replace(before, floor=self.floor_for(before.floor_key)), ""

    def _environment_for(self, cell: Cell) -> Environment:
        """Return the environment a cell would run in: this process or a cluster node."""
        if self.executor is None:
            return self.environment
        return replace(self._node_environment, device=self.executor.device_of(cell))

    @cached_property
    def _node_environment(self) -> Environment:
        assert self.executor is not None  # noqa: S101 - _environment_for checks it
        return self.executor.environment()
