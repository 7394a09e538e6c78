"""RunContext: what the cells of one run share, made when the first of them needs it and kept to the end."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.data.sources import Source, load_source
from pytest_sst2.data.splits import Splits, draw_splits
from pytest_sst2.instruments import environment
from pytest_sst2.instruments.progress import Progress
from pytest_sst2.methods.base import code_digest
from pytest_sst2.methods.fast.embedding_cache import NOT_CACHED, EmbeddingCache
from pytest_sst2.methods.fast.encoder_reuse import FrozenEncoder
from pytest_sst2.methods.fast.malloc import collector_paused
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.results.floors import Floor, FloorKey, Floors, load_floors
from pytest_sst2.results.resume import Conditions
from pytest_sst2.runner import metrics, placement
from pytest_sst2.runner.cell_runner import CellRunner
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.results.file import Results
    from pytest_sst2.results.record import Environment, Record
    from pytest_sst2.runner.executor import Executor

# Where the benchmarks and their floors lie in an installed package.
_INSTALLED_FLOORS = Path(__file__).parents[1] / "benchmarks" / "floors.toml"


class RunContext:
    """The data, device, models and floors of one run.

    Args:
        settings: The run's.
        floors: Floors of the file that the user named; None if none was named.
        baseline: Results that the run is compared with, or None.
        unfinished: Results of the file to resume, or None.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        floors: Floors | None = None,
        baseline: Results | None = None,
        unfinished: Results | None = None,
    ) -> None:
        self.settings = settings
        self.baseline = baseline
        self._given_floors = floors
        self._splits: dict[int, Splits] = {}
        self.frozen = FrozenEncoder()
        self.progress = Progress()
        self.placement = placement.here(exclusive=settings.exclusive)
        self._unfinished = {record.cell: record for record in unfinished.records} if unfinished else {}
        # Measures the cells; None if this process does.
        self.executor: Executor | None = None

    @cached_property
    def source(self) -> Source:
        """The data set."""
        settings = self.settings
        return load_source(settings.data, ci=settings.ci, floors=self._given_floors, baseline=self.baseline)

    @cached_property
    def device(self) -> str:
        """The device, ``auto`` resolved; the CPU where cells run elsewhere."""
        if self.settings.executor == "ray":
            return "cpu"
        return environment.resolve_device(self.settings.device)

    @cached_property
    def loader(self) -> ModelLoader:
        """What loads models onto the device."""
        settings = self.settings
        return ModelLoader(self.device, trust_remote_code=settings.trust_remote_code, verbose=settings.talkative)

    @cached_property
    def environment(self) -> Environment:
        """What the run runs on."""
        return environment.collect_environment(self.device)

    @cached_property
    def floors(self) -> Floors:
        """The floors: the file the user named, else the project's, else the installed one; none when calibrating."""
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
        """What keeps embeddings from run to run; None where it was switched off, or where times are asked for."""
        if self.settings.cache_bytes is None:
            return None
        try:
            return EmbeddingCache(cache_folder(), self.settings.cache_bytes)
        except Sst2Error as error:
            return EmbeddingCache(None, 0, f"{NOT_CACHED}: {error}")

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """The metrics beside accuracy, once it is known that they can be had."""
        metrics.check_metrics(self.settings.metrics, trust_remote_code=self.settings.trust_remote_code)
        return self.settings.metrics

    def check(self) -> None:
        """Load all that does not depend on a model, so that a mistake is reported before any work is done.

        Raises:
            Sst2Error: Data, floors, metrics, device or sizes are not as they should be.
        """
        with collector_paused():
            _ = self.metric_names, self.floors, self.device
            for seed in self.settings.recipe.seeds:
                self.splits(seed)

    def splits(self, seed: int) -> Splits:
        """Return the rows that the run's recipe draws by ``seed``."""
        if seed not in self._splits:
            self._splits[seed] = draw_splits(self.source, self.settings.recipe, seed)
        return self._splits[seed]

    def floor_for(self, key: FloorKey) -> Floor | None:
        """Return the floor that holds for a cell: ``--sst2-min-accuracy`` before the file."""
        if self.settings.min_accuracy is not None:
            return Floor(self.settings.min_accuracy, "given by --sst2-min-accuracy")
        return self.floors.find(key)

    def runner(self, cell: Cell) -> CellRunner:
        """Return what trains and measures ``cell``."""
        with collector_paused():
            return CellRunner(
                cell,
                self.settings.recipe,
                self.splits(cell.seed),
                self.loader,
                self.environment,
                self.placement,
                self.metric_names,
                self.cache,
                self.frozen if self.cache is not None else None,
                self.progress,
            )

    def measured_before(self, cell: Cell) -> tuple[Record | None, str]:
        """Return the record that the file of ``--sst2-resume`` has for a cell, or why it has none that counts.

        Returns:
            The record, with the floor that holds now, and nothing; or None and in what the cell was measured otherwise
            (nothing where it was not).

        Raises:
            Sst2Error: The cell's model cannot be had.
        """
        before = self._unfinished.get(cell.id)
        if before is None:
            return None, ""
        now = Conditions(
            recipe=self.settings.recipe,
            digest=self.splits(cell.seed).info.digest,
            weights=self.loader.locate(cell.model).weights if cell.model else None,
            environment=self._environment_for(cell),
            code=code_digest(cell.method),
            metrics=self.metric_names,
            rounds=self.settings.rounds,
            timed=self.cache is None,
            exclusive=self.settings.exclusive,
            anywhere=self.executor is not None,
        )
        if reason := now.differ_from(before):
            return None, reason
        return replace(before, floor=self.floor_for(before.floor_key)), ""

    def _environment_for(self, cell: Cell) -> Environment:
        """Return what a cell would run on now: this process, or a node of the cluster."""
        if self.executor is None:
            return self.environment
        return replace(self._environment_of_nodes, device=self.executor.device_of(cell))

    @cached_property
    def _environment_of_nodes(self) -> Environment:
        assert self.executor is not None  # noqa: S101 - asked for a cell of its alone
        return self.executor.environment()
