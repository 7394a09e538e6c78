"""Distribution: how pytest-xdist's controller hands out cells, and what becomes of one whose worker died."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScheduling, LoadScopeScheduling

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.session.results_plugin import ResultsPlugin

# Folders and parameters may have brackets of their own: the name of the test function has none.
_PARAMETER = re.compile(r"::\w+\[(.*)\]$", re.DOTALL)


def _may_have_cell(nodeid: str) -> bool:
    """Tell whether a test's id looks like that of a cell; if not, nobody pays for the matrix."""
    return "seed" in nodeid and "[" in nodeid


class CellOfTest:
    """From a test's id to the cell that it measures.

    Args:
        cells: All cells of the matrix.
    """

    def __init__(self, cells: Iterable[Cell]) -> None:
        # pytest writes letters beyond ASCII as their escapes, unless it was told not to.
        planned = list(cells)
        self._cells = {cell.id: cell for cell in planned}
        self._cells |= {cell.id.encode("unicode_escape").decode(): cell for cell in planned}

    def __call__(self, nodeid: str) -> Cell | None:
        """Return the cell, None for a test that has none; a test may have other parameters beside."""
        found = _PARAMETER.search(nodeid)
        if found is None:
            return None
        if found[1] in self._cells:
            return self._cells[found[1]]
        beside = [name for name in self._cells if f"-{name}-" in f"-{found[1]}-"]
        return self._cells[max(beside, key=len)] if beside else None


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Cells that share a frozen encoder go to one worker, so that it is loaded once; everything else goes one by one.

    Args:
        config: pytest's.
        log: pytest-xdist's.
        cell_of_test: What tells cells from other tests.
    """

    def __init__(self, config: pytest.Config, log: Any, cell_of_test: CellOfTest) -> None:
        super().__init__(config, log)
        self._cell_of_test = cell_of_test

    def _split_scope(self, nodeid: str) -> str:
        cell = self._cell_of_test(nodeid)
        return cell.shared_encoder or nodeid if cell else nodeid

    def remove_node(self, node: Any) -> str | None:
        """Take a dead worker out; the cell that it died of is not given to the next one."""
        units = self.assigned_work[node]
        pending = [(unit, nodeid) for unit in units.values() for nodeid, done in unit.items() if not done]
        if not pending:
            super().remove_node(node)
            return None
        unit, crashed = pending[0]
        unit[crashed] = True
        # What is left of its work goes back; units of which nothing is left would be handed out empty.
        self.assigned_work[node] = {scope: unit for scope, unit in units.items() if not all(unit.values())}
        super().remove_node(node)
        return str(crashed)


class LateScheduling:
    """A scheduler that is chosen when the tests are known: in a run without cells it is pytest-xdist's own.

    Args:
        config: pytest's.
        log: pytest-xdist's.
        cell_of_test: What tells cells from other tests; asked for when a first id looks like that of a cell.
    """

    def __init__(self, config: pytest.Config, log: Any, cell_of_test: Callable[[], CellOfTest]) -> None:
        self._config = config
        self._log = log
        self._cell_of_test = cell_of_test
        self._chosen: Any = LoadScheduling(config, log)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take the tests that a worker has found; the first worker's decide who hands them out."""
        waiting = isinstance(self._chosen, LoadScheduling) and not self._chosen.node2collection
        if waiting and any(map(_may_have_cell, collection)):
            cell_of_test = self._cell_of_test()
            if any(cell_of_test(nodeid) for nodeid in collection):
                nodes = self._chosen.nodes
                self._chosen = CellScheduling(self._config, self._log, cell_of_test)
                for each in nodes:
                    self._chosen.add_node(each)
        self._chosen.add_node_collection(node, collection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._chosen, name)


class Distribution:
    """Hooks of pytest-xdist's controller.

    Args:
        gatherer: Told which cells are planned.
        cell_of_test: What tells cells from other tests.
    """

    def __init__(self, gatherer: ResultsPlugin, cell_of_test: Callable[[], CellOfTest]) -> None:
        self._gatherer = gatherer
        self._cell_of_test = cell_of_test

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> LateScheduling | None:
        """Hand cells out by their encoder, unless another order was asked for (``--dist``)."""
        return LateScheduling(config, log, self._cell_of_test) if config.getoption("dist") == "load" else None

    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """Note which cells are planned: the same in every worker."""
        if not self._gatherer.planned and any(map(_may_have_cell, ids)):
            found = map(self._cell_of_test(), ids)
            self._gatherer.planned = list(dict.fromkeys(cell.id for cell in found if cell))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Learn from a worker's first report, which comes before any cell is measured, how it divided the cells."""
        if (division := getattr(report, "sst2_division", None)) is not None:
            self._divided(division)

    def pytest_testnodedown(self, node: Any) -> None:
        """Learn the same from a worker that had no test, and so no report; one that crashed has no output."""
        if division := getattr(node, "workeroutput", {}).get("sst2_division"):
            self._divided(division)

    def _divided(self, division: dict[str, Any]) -> None:
        from pytest_sst2.runner.sharding import Division

        self._gatherer.divided(Division(**division))

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Name the cell that was lost with its worker; it is not tried again in this run."""
        cell = self._cell_of_test()(crashitem) if _may_have_cell(crashitem) else None
        if cell is None:
            return
        reason = (
            f"its worker {report.node.gateway.id} died while it was measured: it was killed, ran out of memory, or "
            "crashed in a library. Run this cell alone to see which; --sst2-resume FILE keeps the others"
        )
        report.longrepr = f"{report.longrepr}\n{cell.id}: {reason}."
        from pytest_sst2.session.cell_run import failure_of

        report.sst2_failure = asdict(failure_of(cell, reason))
