"""Cluster: the cells of a run measured by Ray, on this machine or on many, submitted at once and waited for in turn.

Ray schedules; here it is said what a cell needs, what travels, and what is done about a node that dies.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import sysconfig
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pytest_sst2 import __version__
from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.methods.base import code_digest, innermost
from pytest_sst2.results.record import Environment, Placement, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.runner import metrics
from pytest_sst2.runner.ray.connection import connected, first_line, loss_of, told
from pytest_sst2.runner.ray.resources import Capacity, Needs
from pytest_sst2.runner.ray.transfer import ShippedModel, ship_model, ship_source
from pytest_sst2.runner.ray.worker import Order
from pytest_sst2.runner.sharding import Costs
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.results.file import Results
    from pytest_sst2.runner.context import RunContext

# How often a cell is tried whose node or process was lost.
ATTEMPTS = 3
_LOOK_SECONDS = 0.5
_CLOSE_SECONDS = 10.0


class RayCluster:
    """Measures cells by Ray.

    Args:
        workbench: The run's data, models and floors, where it was started.
        known_costs: Baseline with the seconds of cells, by which they are ordered; None without one.

    Raises:
        Sst2Error: There is no such cluster.
    """

    def __init__(self, workbench: RunContext, known_costs: Results | None) -> None:
        self._workbench = workbench
        self._cost = Costs(known_costs.records if known_costs else ())
        self._ray, self._started_here = connected(workbench.settings.ray_address, workbench.settings.ray_cpus)
        self._capacity = Capacity(self._ray.nodes())
        self._on_cpus = self._ray.remote(_task)
        # A process that has begun with one GPU cannot change to another, and would keep the memory of its first.
        self._on_gpus = self._ray.remote(num_gpus=1, max_calls=1)(_task)
        self._run = uuid.uuid4().hex
        self._answers: dict[str, Future[Record]] = {}
        self._pending: dict[Any, tuple[Cell, int]] = {}
        self._lost: dict[str, list[str]] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._collect, daemon=True, name="sst2-cluster")

    def submit(self, cells: Iterable[Cell], gather: Callable[[], Callable[[Record], None]]) -> None:
        """Submit all cells of the run but those that an earlier one has measured.

        A cell whose model cannot be had is not submitted; whoever waits for it is told why.

        Args:
            cells: The cells.
            gather: Called when nothing can go wrong any more; what it returns is given each record as it comes, in no
                particular order and from another thread.

        Raises:
            Sst2Error: No node of the cluster has what a cell needs.
        """
        everything = list(cells)
        for cell in everything:
            self._capacity.check(Needs(self._cpus, self._gpus(cell), 0), cell)
        wanted = {cell.id: cell for cell in everything if not self._is_known(cell)}
        self._answers = {name: Future() for name in wanted}
        models, errors = self._shipped({cell.model for cell in wanted.values() if cell.model})
        for cell in wanted.values():
            if cell.model in errors:
                self._answers[cell.id].set_exception(errors[cell.model])
        _by_value(self._ray, wanted.values())
        self._order = self._ray.put(
            Order(__version__, self._settings, ship_source(self._workbench.source), models, self._cpus)
        )
        self._tell = gather()
        # Ray takes them in this order. The dearest first, or the last to start would keep all others waiting.
        for cell in sorted(wanted.values(), key=self._cost, reverse=True):
            if not self._answers[cell.id].done():
                self._send(cell, attempt=1)
        self._thread.start()

    def result(self, cell: Cell) -> Record:
        """Wait for a cell and return its record.

        Raises:
            Sst2Error: It could not be measured, for a reason that a sentence can say.
            Exception: Whatever else its method raised.
        """
        return self._answers[cell.id].result()

    def environment(self) -> Environment:
        """Return what a node has installed; nodes are taken to be alike in that."""
        try:
            found: Environment = self._ray.get(self._ray.remote(_installed).options(num_cpus=self._cpus).remote())
        except Exception as error:
            raise Sst2Error(f"no node could say what it has installed: {told(error)}") from error
        return found

    def device_of(self, cell: Cell) -> str:
        """Return where a cell is measured: on a GPU of its own only if it has a model."""
        return "cuda" if self._gpus(cell) else "mps" if self._settings.device == "mps" else "cpu"

    def progress(self) -> str:
        """Return how many cells have been answered, in words."""
        answered = sum(answer.done() for answer in self._answers.values())
        return f"{answered} of {len(self._answers)} finished on the cluster"

    def close(self) -> None:
        """Cancel what has not been answered, and leave the cluster; one that was started here ends."""
        self._closed.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_SECONDS)
        # A cluster that is gone has nothing to cancel; the run's results are still to be written.
        with contextlib.suppress(Exception):
            for reference in list(self._pending):
                self._ray.cancel(reference, force=True)
        with contextlib.suppress(Exception):
            if self._started_here:
                self._ray.shutdown()

    def _is_known(self, cell: Cell) -> bool:
        try:
            return self._workbench.measured_before(cell)[0] is not None
        except Sst2Error:  # its model cannot be had, which its own test is told
            return False

    @property
    def _settings(self) -> Settings:
        return self._workbench.settings

    @property
    def _cpus(self) -> int:
        return self._settings.ray_cpus

    def _shipped(self, specs: Iterable[ModelSpec]) -> tuple[dict[str, ShippedModel], dict[ModelSpec | None, Sst2Error]]:
        """Return the models as they travel, and why others do not."""
        put = None if self._is_one_machine() else self._ray.put
        models: dict[str, ShippedModel] = {}
        errors: dict[ModelSpec | None, Sst2Error] = {}
        for spec in specs:
            try:
                models[spec.name] = ship_model(self._workbench.loader.locate(spec), put)
            except Sst2Error as error:
                errors[spec] = error
        return models, errors

    def _is_one_machine(self) -> bool:
        """Tell whether every node is this machine, so that its files can be read where they are.

        A cluster may grow: that all its nodes are here now says nothing.
        """
        return self._started_here and self._settings.ray_address is None

    def _needs(self, cell: Cell) -> Needs:
        gpus = self._gpus(cell)
        return Needs(self._cpus, gpus, self._capacity.at_most(self._memory_bytes(cell, gpus), self._cpus, gpus))

    def _gpus(self, cell: Cell) -> int:
        asked = self._settings.device
        return int(cell.model is not None and (asked == "cuda" or (asked == "auto" and self._capacity.gpus > 0)))

    def _memory_bytes(self, cell: Cell, gpus: int) -> int:
        """Return what a cell takes of its node's memory: as in the baseline, else from the size of its weights."""
        if known := self._known_memory.get((cell.model_name, cell.method.name, gpus > 0)):
            return known
        weights = self._workbench.loader.locate(cell.model).size_bytes if cell.model else 0
        return _PROCESS_BYTES + weights * (1 if cell.method.frozen or gpus else _TRAINED)

    @functools.cached_property
    def _known_memory(self) -> dict[tuple[str | None, str, bool], int]:
        """The highest peak in the baseline of each model, method, and whether that was on a GPU."""
        found: dict[tuple[str | None, str, bool], int] = {}
        for each in self._workbench.baseline.records if self._workbench.baseline else ():
            key = (each.model, each.method, each.environment.device == "cuda")
            found[key] = max(each.peak_bytes, found.get(key, 0))
        return found

    def _send(self, cell: Cell, attempt: int) -> None:
        needs = self._needs(cell)
        # Ray would keep repeating a cell that kills its process, and could not say so.
        options = {"num_cpus": needs.cpus, "memory": needs.memory_bytes, "max_retries": 0}
        task = self._on_gpus if needs.gpus else self._on_cpus
        reference = task.options(name=cell.id, **options).remote(
            self._run,
            [self._order],
            cell,
            self.device_of(cell),
            Placement("ray", attempt=attempt),
            self._settings.exclusive,
        )
        self._pending[reference] = (cell, attempt)

    def _collect(self) -> None:
        """Take answers as they come, and try cells again whose node was lost; runs in a thread of its own.

        Whatever happens here, each cell has its record or its error in the end: a test waits for it.
        """
        reason = "the run ended before it was measured"
        try:
            while self._pending and not self._closed.is_set():
                done, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=_LOOK_SECONDS)
                for reference in done:
                    self._take(reference, *self._pending.pop(reference))
        except Exception as error:
            reason = f"the cluster was lost: {first_line(error)}"
        finally:
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(Sst2Error(reason))

    def _take(self, reference: Any, cell: Cell, attempt: int) -> None:
        """Give a cell its record or its error, unless it was lost and is tried again."""
        try:
            record = self._record(cell, self._ray.get(reference))
        except Exception as error:
            loss = loss_of(error)
            if not loss:
                self._answers[cell.id].set_exception(told(error))
            elif not self._closed.is_set():  # else it was cancelled, which looks like a loss
                self._lost.setdefault(cell.id, []).append(loss)
                self._try_again(cell, attempt)
        else:
            self._answers[cell.id].set_result(record)

    def _try_again(self, cell: Cell, attempt: int) -> None:
        """Send a cell once more, or say why not."""
        what = f"it was tried {attempt} {'time' if attempt == 1 else 'times'}: {', then '.join(self._lost[cell.id])}"
        if attempt == ATTEMPTS:
            self._answers[cell.id].set_exception(Sst2Error(what))
            return
        # What is left of the cluster may have no node that fits.
        self._capacity = Capacity(self._ray.nodes())
        try:
            self._capacity.check(self._needs(cell), cell)
        except Sst2Error as error:
            self._answers[cell.id].set_exception(Sst2Error(f"{what}. Now {error}"))
        else:
            self._send(cell, attempt + 1)

    def _record(self, cell: Cell, answer: dict[str, Any]) -> Record:
        if "error" in answer:
            raise Sst2Error(answer["error"])
        record = self._completed(cell, record_from_json(answer["record"]))
        self._tell(record)
        return record

    def _completed(self, cell: Cell, record: Record) -> Record:
        """Return a record with what is known here alone: floor, further metrics, code, and earlier attempts."""
        answers = np.array(record.predictions), np.array(record.labels)
        # A node has no file that a conftest's code stands in.
        code = code_digest(cell.method)
        lost = self._lost.get(record.cell, [])
        retried = [f"measured at attempt {len(lost) + 1}: {', then '.join(lost)}"] if lost else []
        return dataclasses.replace(
            record,
            settings={**record.settings, **({"code": code} if code else {})},
            floor=self._workbench.floor_for(record.floor_key),
            metrics={name: metrics.compute(name, *answers) for name in self._workbench.metric_names},
            warnings=(*record.warnings, *retried),
        )


# What Python, torch and transformers take before a model is loaded, and how often the weights stand in memory when
# they are trained: themselves, their gradients, two moments of AdamW, and as much again for activations. (minilm, with
# 87 MB of weights, was measured at 1,190 MB and, frozen, at 837 MB.)
_PROCESS_BYTES = 900 * 2**20
_TRAINED = 6


class Ending:
    """Hooks that leave the cluster when the run ends, however it does."""

    def __init__(self, cluster: RayCluster) -> None:
        self._cluster = cluster

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Cancel what has not been answered: nobody waits for it any more."""
        self._cluster.close()


def _task(run: str, order: list[Any], cell: Cell, device: str, placement: Placement, exclusive: bool) -> dict[str, Any]:
    """Measure a cell; what Ray runs on a node."""
    import os

    import ray

    from pytest_sst2.runner.ray import worker as node

    identity = f"node {ray.get_runtime_context().get_node_id()[:8]}, process {os.getpid()}"
    where = dataclasses.replace(placement, worker=identity)
    return node.measure(run, lambda: ray.get(order[0]), cell, device, where, ray.get, exclusive=exclusive)


def _installed() -> Environment:
    """Return the environment of a node; what Ray runs on one."""
    from pytest_sst2.instruments.environment import collect_environment

    return collect_environment("cpu")


def _by_value(ray: Any, cells: Iterable[Cell]) -> None:
    """Have the code of a conftest's methods travel with the cells: no node can import that file."""
    installed = tuple(sysconfig.get_paths()[name] for name in ("purelib", "platlib", "stdlib"))
    for train in (cell.method.train for cell in cells if callable(cell.method.train)):
        module = sys.modules.get(getattr(innermost(train), "__module__", ""))
        file = getattr(module, "__file__", None)
        if module is not None and file and not file.startswith(installed) and not _is_ours(module.__name__):
            ray.cloudpickle.register_pickle_by_value(module)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == Path(__file__).parents[2].name
