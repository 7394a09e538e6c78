"""Gatherer: takes Records off the test reports, and has the session write, compare and print at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_sst2.session import Session
    from pytest_sst2.settings import Settings


class Gatherer:
    """Hooks of the process that sees every report: any but an xdist worker."""

    def __init__(self, settings: Callable[[], Settings], *, gate_asked: bool) -> None:
        self._settings = settings
        # Made for the first cell, so that a run without cells does not pay for the import. But whoever types
        # --sst2-compare or --sst2-save is told when there was nothing to compare or to save.
        self.session: Session | None = None
        if gate_asked:
            self._start()

    def _start(self) -> Session:
        from pytest_sst2.session import Session

        self.session = Session(self._settings())
        return self.session

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take the Record or the Failure off the report."""
        record, failure = getattr(report, "sst2_record", None), getattr(report, "sst2_failure", None)
        if record is None and failure is None:
            return
        gathered = self.session or self._start()
        if record is not None:
            gathered.add(record)
        if failure is not None:
            gathered.add_failure(failure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write and compare results; what fails there fails a run that would have passed."""
        if self.session is None or session.config.option.collectonly:
            return
        stopped = session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        self.session.finish(complete=not stopped)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = self.session.exit_status

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        if self.session is not None and not terminalreporter.config.option.collectonly:
            from pytest_sst2.report.terminal import summary_lines

            terminalreporter.section("SST-2 benchmark")
            for line in summary_lines(self.session):
                terminalreporter.write_line(line)
            if self.session.comparison is not None:
                from pytest_sst2.report.comparison import comparison_lines

                terminalreporter.section("SST-2 comparison")
                for line in comparison_lines(self.session.comparison, self._settings().fail_on):
                    terminalreporter.write_line(line)
