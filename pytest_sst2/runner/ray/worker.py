"""Node: a cell measured in a process of a cluster, at the other end of ``cluster``; knows nothing of its engine."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_sst2 import __version__
from pytest_sst2.results.record import Placement
from pytest_sst2.runner.out_of_memory import out_of_memory_explained
from pytest_sst2.runner.ray.transfer import Get, ShippedModel, ShippedSource
from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.locks import EXCLUSIVE, one_at_a_time

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.results.record import Record
    from pytest_sst2.runner.context import RunContext

Answer = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What all cells of one run have in common, sent once.

    Attributes:
        version: Of this package, where the run was started.
        settings: Of the run.
        source: The data set.
        models: By their spec's name.
        cpus: How many cores each cell owns.
    """

    version: str
    settings: Settings
    source: ShippedSource
    models: Mapping[str, ShippedModel]
    cpus: int


# The run that this process last worked for, with its workbench: models and embeddings are kept from cell to cell.
_kept: dict[tuple[str, str], tuple[Order, RunContext]] = {}


def measure(
    run: str,
    order: Callable[[], Order],
    cell: Cell,
    device: str,
    placement: Placement,
    get: Get,
    *,
    exclusive: bool = False,
) -> Answer:
    """Measure a cell on this machine.

    Args:
        run: The name of the run.
        order: Gets what all its cells have in common; called for the first of them alone.
        cell: The cell.
        device: Where to measure it.
        placement: Which process this is; the name of its machine is filled in here.
        get: Gets the bytes of a model's file.
        exclusive: Whether one cell is measured at a time on this machine.

    Returns:
        ``{"record": ...}``, the record's JSON, without floor and further metrics, or ``{"error": ...}``, a sentence.
    """
    try:
        # Loading libraries and data for a cell would disturb the times of another as its training would.
        with one_at_a_time(EXCLUSIVE) if exclusive else contextlib.nullcontext():
            if (run, device) not in _kept:
                begun = _begin(order(), device)
                _kept.clear()
                _kept[run, device] = begun
            kept, bench = _kept[run, device]
            bench.placement = replace(placement, node=platform.node())
            with out_of_memory_explained(cell, bench.settings.recipe):
                return {"record": _record(bench, kept, cell, get).to_json()}
    except Sst2Error as error:
        return {"error": str(error)}


def _begin(order: Order, device: str) -> tuple[Order, RunContext]:
    """Make this process ready for the cells of a run."""
    if order.version != __version__:
        raise Sst2Error(
            f"pytest-sst2 is {__version__} on node {platform.node()} and {order.version} where the run was started; "
            "install the same on both."
        )
    # Before torch is loaded, which asks for its threads but once.
    workers.limit_threads(order.cpus, owned=True)
    from pytest_sst2.runner.context import RunContext

    # The node measures here, and further metrics are computed where the run was started.
    bench = RunContext(replace(order.settings, device=device, executor="local", metrics=()))
    bench.source = order.source.unpacked()
    return order, bench


def _record(bench: RunContext, order: Order, cell: Cell, get: Get) -> Record:
    if cell.model is not None and not bench.loader.is_located(cell.model):
        bench.loader.adopt(cell.model, order.models[cell.model.name].unpacked(get))
    runner = bench.runner(cell)
    runner.run_rounds(bench.settings.rounds)
    return runner.record(lambda _key: None)
