"""Schedule cells under pytest-xdist, and report the cell of a worker that died."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScheduling, LoadScopeScheduling

from pytest_sst2.session.missing_models import missing_models_lines
from pytest_sst2.session.planned_cells import Plan, planned_cells
from pytest_sst2.session.stash import inputs_of, settings_of
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line

if TYPE_CHECKING:
    from pytest_sst2.compare.seed_schedule import SeedSchedule
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.session.results_plugin import ResultsPlugin

# The name of a test function has no brackets, but folders and parameters may have them.
_PARAMETER = re.compile(r"::\w+\[(.*)\]$", re.DOTALL)


def _may_have_cell(nodeid: str) -> bool:
    """Return whether a test's id looks like that of a cell; a run without such ids does not build the matrix."""
    return "seed" in nodeid and "[" in nodeid


class CellLookup:
    """Finds the cell of a test by the test's id.

    Args:
        cells: The cells of the run.
        seeds_together: Whether one worker measures all seeds of a model and method.
        schedule: Says which seeds are needed; None if all are.
    """

    def __init__(
        self, cells: Iterable[Cell], *, seeds_together: bool = False, schedule: SeedSchedule | None = None
    ) -> None:
        self.seeds_together = seeds_together
        self._schedule = schedule
        self._cells = {cell.id: cell for cell in cells}
        # pytest escapes non-ASCII characters in ids, unless an ini option disables that.
        self._cells |= {name.encode("unicode_escape").decode(): cell for name, cell in self._cells.items()}

    def __call__(self, nodeid: str) -> Cell | None:
        """Return the cell of a test, which may have other parameters, too; None for a test without a cell."""
        match = _PARAMETER.search(nodeid)
        if match is None:
            return None
        parameters = match[1]
        if parameters in self._cells:
            return self._cells[parameters]
        contained = [name for name in self._cells if f"-{name}-" in f"-{parameters}-"]
        return self._cells[max(contained, key=len)] if contained else None

    def not_needed(self, nodeids: Iterable[str], crashed: str) -> list[str]:
        """Return which tests measure a seed that is not needed, now that a worker died during a test."""
        schedule, cell = self._schedule, self(crashed)
        if schedule is None or cell is None:
            return []
        schedule.add_failure(cell.key, cell.seed)
        others = ((nodeid, self(nodeid)) for nodeid in nodeids)
        return [nodeid for nodeid, other in others if other and schedule.reason_to_skip(other.key, other.seed)]


class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Send cells with the same frozen encoder to one worker, so that it is loaded once; send other tests one by one.

    With ``--sst2-seeds auto``, the seeds of a cell stay together too, because the worker decides which are needed.
    """

    def __init__(self, config: pytest.Config, log: Any, find_cell: CellLookup) -> None:
        super().__init__(config, log)
        self._find_cell = find_cell

    def _split_scope(self, nodeid: str) -> str:
        cell = self._find_cell(nodeid)
        if cell is None:
            return nodeid
        seeds = repr(cell.key) if self._find_cell.seeds_together else ""
        return cell.shared_encoder or seeds or nodeid

    def remove_node(self, node: Any) -> str | None:
        """Remove a dead worker; the cell that it was running is not run again.

        With ``--sst2-seeds auto``, seeds that are not needed any more are not run either, because another worker
        does not know that.
        """
        units = self.assigned_work[node]
        pending = [(unit, nodeid) for unit in units.values() for nodeid, done in unit.items() if not done]
        if not pending:
            super().remove_node(node)
            return None
        unit, crashed = pending[0]
        unit[crashed] = True
        for other in units.values():
            other.update(dict.fromkeys(self._find_cell.not_needed(other, crashed), True))
        # Only unfinished units go back to the queue; pytest-xdist would send finished ones out empty.
        self.assigned_work[node] = {scope: unit for scope, unit in units.items() if not all(unit.values())}
        super().remove_node(node)
        return str(crashed)


class DeferredScheduling:
    """Choose the scheduler when the tests are known; in a run without cells it is pytest-xdist's own."""

    def __init__(self, config: pytest.Config, log: Any, cell_lookup: Callable[[], CellLookup]) -> None:
        self._config = config
        self._log = log
        self._cell_lookup = cell_lookup
        self._scheduler: Any = LoadScheduling(config, log)

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Add the tests that a worker collected; those of the first worker decide on the scheduler."""
        is_first = isinstance(self._scheduler, LoadScheduling) and not self._scheduler.node2collection
        if is_first and any(map(_may_have_cell, collection)):
            find_cell = self._cell_lookup()
            if any(find_cell(nodeid) for nodeid in collection):
                nodes = self._scheduler.nodes
                self._scheduler = CellScheduling(self._config, self._log, find_cell)
                for known in nodes:
                    self._scheduler.add_node(known)
        self._scheduler.add_node_collection(node, collection)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scheduler, name)


def _print_missing_models(config: pytest.Config, cells: Iterable[Cell]) -> None:
    if (reporter := config.pluginmanager.getplugin("terminalreporter")) is not None:
        with_code = settings_of(config).trust_remote_code
        for line in missing_models_lines(cells, trust_remote_code=with_code):
            reporter.write_line(one_line(f"sst2: {line}"))


class XdistPlugin:
    """Hooks of pytest-xdist's controller; ``cell_lookup`` is called when an id looks like that of a cell."""

    def __init__(self, results: ResultsPlugin, cell_lookup: Callable[[], CellLookup]) -> None:
        self._results = results
        self._cell_lookup = cell_lookup

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> DeferredScheduling | None:
        """Schedule cells by their encoder, unless ``--dist`` names another order."""
        return DeferredScheduling(config, log, self._cell_lookup) if config.getoption("dist") == "load" else None

    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Store the planned cells, which are the same in every worker."""
        if not self._results.plan.selected and any(map(_may_have_cell, ids)):
            cells = [*filter(None, map(self._cell_lookup(), ids))]
            self._results.set_plan(Plan(tuple(planned_cells(cells).values())))
            self._end_if_hopeless(node.config)
            _print_missing_models(node.config, cells)

    def _end_if_hopeless(self, config: pytest.Config) -> None:
        """End the run before any worker gets a cell if no cell can be compared with the baseline."""
        if inputs_of(config).baseline is None:
            return
        from pytest_sst2.session.early_check import splits_of

        with contextlib.suppress(Sst2Error):  # the workers report it
            self._results.check_early(splits_of(config))
        self._results.end_if_hopeless()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        """Read the plan of the cells from a worker's first report, which arrives before any cell is measured."""
        if (plan := getattr(report, "sst2_plan", None)) is not None:
            self._set_plan(plan)

    def pytest_testnodedown(self, node: Any) -> None:
        """Read the plan from a worker without tests, which sends no report; a crashed worker has no output."""
        if plan := getattr(node, "workeroutput", {}).get("sst2_plan"):
            self._set_plan(plan)

    def _set_plan(self, sent: dict[str, Any]) -> None:
        from pytest_sst2.session.planned_cells import plan_from_json

        self._results.set_plan(*plan_from_json(sent))

    @pytest.hookimpl(tryfirst=True)
    def pytest_handlecrashitem(self, crashitem: str, report: Any) -> None:
        """Report the failure of the cell that a dead worker was running."""
        cell = self._cell_lookup()(crashitem) if _may_have_cell(crashitem) else None
        if cell is None:
            return
        reason = (
            f"its worker {report.node.gateway.id} died during the measurement: it was killed, ran out of memory, or "
            "crashed in a library. Run this cell alone to find out; --sst2-resume FILE keeps the others"
        )
        report.longrepr = f"{report.longrepr}\n{cell.name}: {reason}."
        from pytest_sst2.session.planned_cells import failure_of

        report.sst2_failure = asdict(failure_of(cell, reason))
