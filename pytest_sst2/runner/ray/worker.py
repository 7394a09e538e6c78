"""Measures a cell in a process of a cluster. Does not depend on Ray."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_sst2.results.record import Placement
from pytest_sst2.runner.out_of_memory import out_of_memory_explained
from pytest_sst2.runner.ray.transfer import Get, ShippedModel, ShippedSource
from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.locks import EXCLUSIVE, one_at_a_time
from pytest_sst2.version import __version__

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.results.record import Record
    from pytest_sst2.runner.context import RunContext


@dataclass(frozen=True)
class RunPayload:
    """What all cells of a run share. It is sent once.

    Attributes:
        version: Version of pytest-sst2 on the machine that started the run.
        settings: Settings of the run.
        source: The data set.
        models: Models by the name of their spec.
        cpus: Cores of each cell.
    """

    version: str
    settings: Settings
    source: ShippedSource
    models: Mapping[str, ShippedModel]
    cpus: int


# The last run of this process. Its models and embeddings are kept for the next cell.
_current: dict[tuple[str, str], tuple[RunPayload, RunContext]] = {}


def measure(
    run: str,
    payload: Callable[[], RunPayload],
    cell: Cell,
    device: str,
    placement: Placement,
    get: Get,
    *,
    exclusive: bool = False,
) -> dict[str, Any]:
    """Measure a cell on this machine.

    Args:
        run: Identifier of the run.
        payload: Returns what the cells of the run share. Called for the first cell of a run only.
        cell: The cell.
        device: The device of the cell.
        placement: Placement of this process. The machine's name is added here.
        get: Returns the bytes of a model's file.
        exclusive: Whether this machine measures one cell at a time.

    Returns:
        ``{"record": ...}`` with the record's JSON, without floor and metrics, or ``{"error": ...}`` with a message.
    """
    try:
        # The lock includes loading, which would disturb the times of another cell as training would.
        with one_at_a_time(EXCLUSIVE) if exclusive else contextlib.nullcontext():
            if (run, device) not in _current:
                started = _start(payload(), device)
                _current.clear()
                _current[run, device] = started
            shared, context = _current[run, device]
            context.placement = replace(placement, node=platform.node())
            with out_of_memory_explained(cell, context.settings.recipe):
                return {"record": _record(context, shared, cell, get).to_json()}
    except Sst2Error as error:
        return {"error": str(error)}


def _start(payload: RunPayload, device: str) -> tuple[RunPayload, RunContext]:
    """Prepare this process for the cells of a run."""
    if payload.version != __version__:
        raise Sst2Error(
            f"pytest-sst2 is {__version__} on node {platform.node()} and {payload.version} where the run was started; "
            "install the same version on both."
        )
    # Before torch is loaded, because it reads the number of threads only once.
    workers.limit_threads(payload.cpus, owned=True)
    from pytest_sst2.runner.context import RunContext

    # The machine that started the run computes the metrics.
    context = RunContext(replace(payload.settings, device=device, executor="local", metrics=()))
    context.source = payload.source.unpacked()
    return payload, context


def _record(context: RunContext, payload: RunPayload, cell: Cell, get: Get) -> Record:
    if cell.model is not None and not context.loader.is_located(cell.model):
        context.loader.adopt(cell.model, payload.models[cell.model.name].unpacked(get))
    runner = context.runner(cell)
    runner.run_rounds(context.settings.rounds)
    return runner.record(lambda _key: None)
