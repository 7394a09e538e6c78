"""The functions that Ray runs on a node."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from pytest_sst2.config.specs import Cell
from pytest_sst2.results.record import Environment, Placement


def measure_cell(
    run: str, payload: list[Any], cell: Cell, device: str, placement: Placement, exclusive: bool
) -> dict[str, Any]:
    """Measure a cell.

    Args:
        run: Identifier of the run.
        payload: A list with the reference of the run's ``RunPayload``. Ray would resolve a bare reference itself.
        cell: The cell.
        device: The device of the cell.
        placement: Executor and attempt. Node and process are added here.
        exclusive: Whether this machine measures one cell at a time.

    Returns:
        As ``worker.measure``.
    """
    import ray

    from pytest_sst2.runner.ray import worker

    process = f"node {ray.get_runtime_context().get_node_id()[:8]}, process {os.getpid()}"
    placement = dataclasses.replace(placement, worker=process)
    return worker.measure(run, lambda: ray.get(payload[0]), cell, device, placement, ray.get, exclusive=exclusive)


def node_environment() -> Environment:
    """Return the environment of the node."""
    from pytest_sst2.instruments.environment import collect_environment

    return collect_environment("cpu")
