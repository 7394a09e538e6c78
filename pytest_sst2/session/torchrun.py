"""Ranks: what pytest does in the processes that torchrun started: rank 0 reports, the others train along in silence.

In a session without an SST-2 benchmark none of this happens: each rank runs its tests and says so, as without us.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from _pytest.junitxml import xml_key

from pytest_sst2.session.cell_items import cell_of
from pytest_sst2.utils import processes as workers
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.runner.context import RunContext


def _is_together(item: pytest.Item) -> bool:
    """Tell whether a test measures a cell that all ranks train together."""
    cell = cell_of(item)
    return cell is not None and cell.method.together


class Leader:
    """Hooks of rank 0.

    Args:
        workbench: The run's.
    """

    def __init__(self, workbench: Callable[[], RunContext]) -> None:
        self._workbench = workbench

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Let the other ranks go, whatever ended the run."""
        if not session.config.option.collectonly and any(map(_is_together, getattr(session, "items", ()))):
            self._workbench().team.dismiss()


class Follower:
    """Hooks of the other ranks. What pytest prints is held back until it is known whether there are benchmarks.

    Args:
        config: pytest's.
        workbench: The run's.
    """

    def __init__(self, config: pytest.Config, workbench: Callable[[], RunContext]) -> None:
        self._config = config
        self._workbench = workbench
        self._follows = False
        # The terminal's own: pytest captures what goes to sys.stderr.
        self._stderr = os.fdopen(os.dup(2), "w", encoding="utf-8", errors="replace")
        self._terminal: Any = None
        self._held_back = io.StringIO()
        self._uncollected: list[pytest.CollectReport] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Hold the terminal's text back, from its first line on."""
        if self._config.pluginmanager.hasplugin("terminalreporter"):
            writer = self._config.get_terminal_writer()
            self._terminal, writer._file = writer._file, self._held_back

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep the cells that are trained together, if there are benchmarks; all else is rank 0's."""
        if not any(map(cell_of, items)):
            self._let_through()
            return
        self._follows = True
        for report in self._uncollected:
            self._say_failure(report)
        left_out = [item for item in items if not _is_together(item)]
        items[:] = [item for item in items if _is_together(item)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
        _write_nothing(config)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Keep what cannot be collected, until it is known whether the terminal says it."""
        if report.failed:
            self._uncollected.append(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Say what failed here: nobody else would."""
        if report.failed and self._follows:
            self._say_failure(report)

    def pytest_internalerror(self, excrepr: Any) -> None:
        """Say that, too."""
        if self._follows:
            self.say(str(excrepr))

    def _say_failure(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        self.say(f"{report.nodeid}: {report.longreprtext}")

    def say(self, text: str) -> None:
        """Write to the terminal's stderr, as it may be shown, with the rank's number before each line."""
        for line in printable(text).splitlines():
            self._stderr.write(f"[rank {workers.rank()}] {line}\n")
        self._stderr.flush()

    def _let_through(self) -> None:
        """Be an ordinary process from here on."""
        if self._terminal is not None and not self._held_back.closed:
            self._terminal.write(self._held_back.getvalue())
            self._config.get_terminal_writer()._file = self._terminal
            self._held_back.close()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Leave with 0 where all went well; not before rank 0 has no more cells to train."""
        if not self._follows:
            self._let_through()
            return
        if not session.items or session.config.option.collectonly:
            session.exitstatus = pytest.ExitCode.OK
        elif session.exitstatus == pytest.ExitCode.OK:
            team = self._workbench().team
            if cell := team.next_call():
                self.say(
                    f"rank 0 trains {cell}, which is not the next cell here. All ranks have to be given the same "
                    "options and the same tests in the same order."
                )
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            else:
                team.leave()

    def pytest_unconfigure(self) -> None:
        """Let go of the terminal."""
        self._stderr.close()


def _write_nothing(config: pytest.Config) -> None:
    """Leave the files of pytest and pytest-benchmark to rank 0."""
    if (junit := config.stash.get(xml_key, None)) is not None:
        del config.stash[xml_key]
        config.pluginmanager.unregister(junit)
    if (cache := getattr(config, "cache", None)) is not None:
        cache.set = lambda key, value: None
    if (benchmarks := getattr(config, "_benchmarksession", None)) is not None:
        benchmarks.save = benchmarks.autosave = benchmarks.json = None


class CellAlong:
    """A cell that rank 0 measures and this rank trains along; the value of the fixture ``sst2_run`` here."""

    def __init__(
        self, cell: Cell, workbench: Callable[[], RunContext], item: pytest.Item, say: Callable[[str], None]
    ) -> None:
        self.cell = cell
        self._workbench = workbench
        self._item = item
        self._say = say

    def measure(self) -> NoReturn:
        """Train the cell as often as rank 0 does, and skip the rest of the test: there is no Record here.

        An error that rank 0 has heard of fails the cell there, and this rank goes on. One that it has not ends this
        rank, and torchrun ends the others.
        """
        team = self._workbench().team
        while team.next_call() == self.cell.id:
            team.answer()
            try:
                with team.together():
                    runner = self._workbench().runner(self.cell)
                runner.train_along()
            except Sst2Error:
                self._stop_if_lost()
            except Exception:
                self._stop_if_lost()
                self._say(traceback.format_exc())
        pytest.skip(f"rank {team.rank} trains along; rank 0 reports")

    def _stop_if_lost(self) -> None:
        """Fail where the others do not know that something failed here."""
        if self._workbench().team.lost:
            self._item.session.shouldfail = f"rank {workers.rank()} failed alone"
            error = sys.exception()
            assert error is not None  # noqa: S101 - called where one is handled
            raise error
