"""Run the cells of a session on Ray (``--sst2-executor ray``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from pytest_sst2.config.specs import Cell
from pytest_sst2.results.record import Record
from pytest_sst2.runner.ray.driver import RayExecutor
from pytest_sst2.session.stash import context_of, inputs_of


def submit_cells(
    config: pytest.Config, cells: Iterable[Cell], record_writer: Callable[[], Callable[[Record], None]]
) -> None:
    """Submit all cells to the cluster, except those that the resumed file holds.

    ``record_writer`` is called once all cells are accepted.

    Raises:
        Sst2Error: The cluster is not available, or no node of it has what a cell needs.
    """
    context = context_of(config)
    cluster = RayExecutor(context, inputs_of(config).known_costs)
    context.executor = cluster
    config.pluginmanager.register(_CloseOnSessionFinish(cluster), "sst2-cluster")
    cluster.submit(cells, record_writer)
    context.progress.elsewhere = cluster.progress


class _CloseOnSessionFinish:
    def __init__(self, executor: RayExecutor) -> None:
        self._executor = executor

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Disconnect and cancel unfinished cells, because no test waits for them any more."""
        self._executor.close()
