"""Measures the cells of a run on a Ray cluster: submits all of them, collects records, retries cells of lost nodes.

Ray schedules the cells.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.methods.base import function_of
from pytest_sst2.methods.code_digest import code_digest
from pytest_sst2.results.record import Environment, Placement, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.runner import metrics
from pytest_sst2.runner.executor import SeedNotNeededError
from pytest_sst2.runner.ray.connection import connect, first_sentence, loss_reason, original_error
from pytest_sst2.runner.ray.resources import Capacity, MemoryEstimate, Needs
from pytest_sst2.runner.ray.tasks import measure_cell, node_environment
from pytest_sst2.runner.ray.transfer import ShippedModel, pickle_conftest_code_by_value, ship_model, ship_source
from pytest_sst2.runner.ray.worker import RunPayload
from pytest_sst2.runner.sharding import Costs
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.version import __version__

if TYPE_CHECKING:
    from pytest_sst2.results.file import Results
    from pytest_sst2.runner.context import RunContext

# Largest number of attempts at a cell whose node or process was lost.
ATTEMPTS = 3
_POLL_SECONDS = 0.5
_CLOSE_SECONDS = 10.0


class RayExecutor:
    """Measures cells on a Ray cluster; an ``Executor``.

    Args:
        context: Data, models and floors of the run.
        known_costs: Baseline with the seconds of cells, by which they are ordered; None without one.

    Raises:
        Sst2Error: There is no cluster.
    """

    def __init__(self, context: RunContext, known_costs: Results | None) -> None:
        self._context = context
        self._settings, self._cpus = context.settings, context.settings.ray_cpus
        self._cost = Costs(known_costs.records if known_costs else ())
        self._ray, self._started_here = connect(self._settings.ray_address, self._cpus)
        self._capacity = Capacity(self._ray.nodes())
        self._estimate_memory = MemoryEstimate(context.baseline.records if context.baseline else ())
        self._on_cpus = self._ray.remote(measure_cell)
        # One process per cell, because a process cannot change its GPU and would keep the memory of the first cell.
        self._on_gpus = self._ray.remote(num_gpus=1, max_calls=1)(measure_cell)
        self._run = uuid.uuid4().hex
        self._results: dict[str, Future[Record]] = {}
        self._pending: dict[Any, tuple[Cell, int]] = {}
        self._waiting: dict[str, Cell] = {}  # until a look decides whether they are needed
        self._lost: dict[str, list[str]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True, name="sst2-cluster")

    def submit(self, cells: Iterable[Cell], gather: Callable[[], Callable[[Record], None]]) -> None:
        """Submit all cells except those that the file of ``--sst2-resume`` contains.

        A cell whose model cannot be located is not submitted. ``result`` raises the error.

        Args:
            cells: The cells.
            gather: Called just before the first cell is sent. The function that it returns receives each record when
                it arrives, in no particular order and in another thread.

        Raises:
            Sst2Error: No node of the cluster has the resources of a cell.
        """
        all_cells = list(cells)
        for cell in all_cells:
            self._capacity.check(Needs(self._cpus, self._gpus(cell), 0), cell)
        wanted = {cell.id: cell for cell in all_cells if not self._is_measured(cell)}
        self._results = {name: Future() for name in wanted}
        models, errors = self._ship_models({cell.model for cell in wanted.values() if cell.model})
        for cell in wanted.values():
            if cell.model in errors:
                self._results[cell.id].set_exception(errors[cell.model])
        pickle_conftest_code_by_value(self._ray, wanted.values())
        self._payload = self._ray.put(
            RunPayload(__version__, self._settings, ship_source(self._context.source), models, self._cpus)
        )
        self._gather = gather()
        # Ray starts them in this order. An expensive cell that starts last would delay the end of the run.
        self._waiting = dict(sorted(wanted.items(), key=lambda item: self._cost(item[1]), reverse=True))
        self._send_needed()
        self._thread.start()

    def _send_needed(self) -> None:
        """Send the waiting cells that are needed now, and resolve those that are not needed at all."""
        schedule = self._context.schedule
        for cell in list(self._waiting.values()):
            result = self._results[cell.id]
            if not result.done() and schedule is not None:
                if reason := schedule.reason_to_skip(cell.key, cell.seed):
                    result.set_exception(SeedNotNeededError(reason))
                elif cell.seed not in schedule.needed(cell.key):
                    continue
            del self._waiting[cell.id]
            if not result.done():
                self._send(cell, attempt=1)
        # The seeds of the next look were not selected, so no look decides about the others.
        if not self._pending:
            for cell in self._waiting.values():
                self._send(cell, attempt=1)
            self._waiting = {}

    def result(self, cell: Cell) -> Record:
        """Wait for a cell and return its record.

        Raises:
            Sst2Error: The cell could not be measured.
            SeedNotNeededError: The cell is decided without this seed.
            Exception: The method raised it.
        """
        return self._results[cell.id].result()

    def environment(self) -> Environment:
        """Return the environment of a node. All nodes are assumed to have the same packages.

        Raises:
            Sst2Error: The node failed.
        """
        task = self._ray.remote(node_environment).options(num_cpus=self._cpus)
        try:
            environment: Environment = self._ray.get(task.remote())
        except Exception as error:
            raise Sst2Error(f"no node returned its environment: {original_error(error)}") from error
        return environment

    def device_of(self, cell: Cell) -> str:
        """Return the device of a cell: a GPU of its own if it has a model and the cluster has GPUs."""
        return "cuda" if self._gpus(cell) else "mps" if self._settings.device == "mps" else "cpu"

    def progress(self) -> str:
        """Return the number of finished cells in words."""
        finished = sum(result.done() for result in self._results.values())
        return f"{finished} of {len(self._results)} finished on the cluster"

    def close(self) -> None:
        """Cancel unfinished cells and disconnect. A cluster that was started here ends."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        # Errors of a lost cluster must not keep the run from writing its results.
        with contextlib.suppress(Exception):
            for reference in list(self._pending):
                self._ray.cancel(reference, force=True)
        with contextlib.suppress(Exception):
            if self._started_here:
                self._ray.shutdown()

    def _is_measured(self, cell: Cell) -> bool:
        try:
            record, _ = self._context.measured_before(cell)
        except Sst2Error:  # its model cannot be located, and its own test fails with the reason
            return False
        if record is not None and self._context.schedule is not None:
            self._context.schedule.add(record)
        return record is not None

    def _ship_models(
        self, specs: Iterable[ModelSpec]
    ) -> tuple[dict[str, ShippedModel], dict[ModelSpec | None, Sst2Error]]:
        """Put the models into the object store; return them by name, and the errors of the others."""
        # Only a cluster that was started here cannot gain other nodes, so that files need not be transferred.
        put = None if self._started_here and self._settings.ray_address is None else self._ray.put
        models: dict[str, ShippedModel] = {}
        errors: dict[ModelSpec | None, Sst2Error] = {}
        for spec in specs:
            try:
                models[spec.name] = ship_model(self._context.loader.locate(spec), put)
            except Sst2Error as error:
                errors[spec] = error
        return models, errors

    def _needs(self, cell: Cell) -> Needs:
        gpus = self._gpus(cell)
        weights = self._context.loader.locate(cell.model).size_bytes if cell.model else 0
        memory = self._estimate_memory(cell, weights, on_gpu=gpus > 0)
        return Needs(self._cpus, gpus, self._capacity.limit_memory(memory, self._cpus, gpus))

    def _gpus(self, cell: Cell) -> int:
        device = self._settings.device
        return int(cell.model is not None and (device == "cuda" or (device == "auto" and self._capacity.gpus > 0)))

    def _send(self, cell: Cell, attempt: int) -> None:
        needs = self._needs(cell)
        # Retries by Ray would be endless and would not appear in the record.
        options = {"num_cpus": needs.cpus, "memory": needs.memory_bytes, "max_retries": 0}
        task = self._on_gpus if needs.gpus else self._on_cpus
        reference = task.options(name=cell.id, **options).remote(
            self._run,
            [self._payload],
            cell,
            self.device_of(cell),
            Placement("ray", attempt=attempt),
            self._settings.exclusive,
        )
        self._pending[reference] = (cell, attempt)

    def _collect(self) -> None:
        """Collect results as they arrive and retry cells whose node was lost; runs in a thread of its own.

        In the end every cell has its record or its error, because a test waits for it.
        """
        reason = "the run ended before the cell was measured"
        try:
            while self._pending and not self._closed.is_set():
                done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=_POLL_SECONDS)
                for reference in done:
                    self._take(reference, *self._pending.pop(reference))
                    self._send_needed()
        except Exception as error:
            reason = f"the cluster was lost: {first_sentence(error)}"
        finally:
            for result in self._results.values():
                if not result.done():
                    result.set_exception(Sst2Error(reason))

    def _take(self, reference: Any, cell: Cell, attempt: int) -> None:
        """Set a cell's record or error, or retry the cell if it was lost."""
        try:
            record = self._record(cell, self._ray.get(reference))
        except Exception as error:
            loss = loss_reason(error)
            if not loss:
                self._fail(cell, original_error(error))
            elif not self._closed.is_set():  # otherwise the cell was cancelled, which looks like a loss
                self._lost.setdefault(cell.id, []).append(loss)
                self._retry(cell, attempt)
        else:
            self._results[cell.id].set_result(record)

    def _retry(self, cell: Cell, attempt: int) -> None:
        """Send a cell again, or set the error if that is not possible."""
        reasons = f"it was tried {attempt} {'time' if attempt == 1 else 'times'}: {', then '.join(self._lost[cell.id])}"
        if attempt == ATTEMPTS:
            self._fail(cell, Sst2Error(reasons))
            return
        # The remaining nodes may not have the resources.
        self._capacity = Capacity(self._ray.nodes())
        try:
            self._capacity.check(self._needs(cell), cell)
        except Sst2Error as error:
            self._fail(cell, Sst2Error(f"{reasons}. Now {error}"))
        else:
            self._send(cell, attempt + 1)

    def _fail(self, cell: Cell, error: BaseException) -> None:
        if self._context.schedule is not None:
            self._context.schedule.add_failure(cell.key, cell.seed)
        self._results[cell.id].set_exception(error)

    def _record(self, cell: Cell, result: dict[str, Any]) -> Record:
        if "error" in result:
            raise Sst2Error(result["error"])
        record = self._complete(cell, record_from_json(result["record"]))
        if self._context.schedule is not None:
            _, reason = self._context.measured_before(cell)
            self._context.schedule.add(record, measured_again=bool(reason))
        self._gather(record)
        return record

    def _complete(self, cell: Cell, record: Record) -> Record:
        """Return the record with what only this machine knows: floor, metrics, code digest, and earlier attempts."""
        predictions = np.array(record.predictions), np.array(record.labels)
        # A node does not have the file of the conftest.
        code = code_digest(function_of(cell.method))
        lost = self._lost.get(record.cell, [])
        retried = [f"measured at attempt {len(lost) + 1}: {', then '.join(lost)}"] if lost else []
        return dataclasses.replace(
            record,
            settings={**record.settings, **({"code": code} if code else {})},
            floor=self._context.floor_for(record.floor_key),
            metrics={name: metrics.compute(name, *predictions) for name in self._context.metric_names},
            warnings=(*record.warnings, *retried),
        )
