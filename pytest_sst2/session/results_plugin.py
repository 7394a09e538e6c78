"""ResultsPlugin: takes Records off the test reports, and has the session write, compare and print at the end."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2.session.stash import inputs_of, settings_of, workbench_of
from pytest_sst2.utils import locks
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_sst2.results.record import Record
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.session import Session


class ResultsPlugin:
    """Hooks of the process that sees every report: any but an xdist worker."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Made for the first cell, so that a run without cells does not pay for the import.
        self.session: Session | None = None
        # The ids of all cells of the run, in every shard, as soon as they are known.
        self.planned: Sequence[str] = ()
        # How they were divided; None in a run of all of them.
        self.division: Division | None = None
        self._let_go: Callable[[], None] = lambda: None

    def _start(self) -> Session:
        from pytest_sst2.session.session import Session

        self.session = Session(settings_of(self._config), inputs_of(self._config))
        return self.session

    def hold(self, path: Path, option: str) -> None:
        """Be the only run that writes a results file.

        Raises:
            Sst2Error: Another one does.
        """
        self._let_go = locks.take(path, option)

    def pytest_unconfigure(self) -> None:
        """Let others write it."""
        self._let_go()

    def divided(self, division: Division) -> None:
        """Take notice of how the cells were divided among shards."""
        self.division = division
        self.planned = division.planned

    def gathering(self) -> Session:
        """Return what gathers the records, which knows what this object knows of the cells."""
        session = self.session or self._start()
        session.planned, session.division = self.planned, self.division
        return session

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take the Record or the Failure off the report."""
        record, failure = getattr(report, "sst2_record", None), getattr(report, "sst2_failure", None)
        if record is None and failure is None:
            return
        gathered = self.gathering()
        if record is not None:
            added = gathered.add(record, getattr(report, "sst2_resumed", None))
            if report.failed and added.reaches_floor:
                gathered.failed_tests += 1
        if failure is not None:
            gathered.add_failure(failure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write and compare results; what fails there fails a run that would have passed."""
        # Each shard has its file, also one for which there was no cell left: what has nothing to do has done it.
        if self.division is not None and not self.division.mine:
            self.gathering()
            if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
                session.exitstatus = pytest.ExitCode.OK
        if self.session is None or session.config.option.collectonly:
            return
        self.gathering()
        stopped = session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        self.session.finish(complete=not stopped, sentences_of=self._sentences_of, tests=_tests_named(session.config))
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = self.session.exit_status

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Clean what pytest will tell of a warning in a run of ours: libraries quote files and addresses in them."""
        text = str(warning_message.message)
        if self.session is not None and (shown := printable(text)) != text:
            warning_message.message = shown

    def _sentences_of(self, record: Record) -> Sequence[str] | None:
        """Return a record's evaluation sentences; under xdist this process has yet to load the data."""
        try:
            splits = workbench_of(self._config).splits(record.seed)
        except Sst2Error:
            return None
        return splits.evaluation.sentences if splits.info.digest == record.dataset.digest else None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the summary."""
        config = terminalreporter.config
        if self.session is None or config.option.collectonly:
            return
        from pytest_sst2.report.ansi import coloured
        from pytest_sst2.report.terminal import summary_lines
        from pytest_sst2.utils.sanitize import encodable

        writer = config.get_terminal_writer()
        # pytest would write an escape in the place of a sign, six letters for one.
        encoding = getattr(getattr(writer, "_file", None), "encoding", None)
        parts = {"SST-2 benchmark": summary_lines(self.session, writer.fullwidth)}
        if self.session.comparison is not None:
            from pytest_sst2.report.comparison_text import comparison_lines

            parts["SST-2 comparison"] = comparison_lines(
                self.session.comparison, settings_of(config).fail_on, writer.fullwidth
            )
        for title, lines in parts.items():
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.write_line(
                    coloured(encodable(line, encoding), lambda text, colour: writer.markup(text, **{colour: True}))
                )


def _tests_named(config: pytest.Config) -> list[str]:
    """Return what the command line named to be collected, and how; nothing where pytest looked for itself."""
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    return [*(["--pyargs"] if config.option.pyargs and named else []), *named]
