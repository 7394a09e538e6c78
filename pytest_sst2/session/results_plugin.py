"""ResultsPlugin: hooks that collect the records of a run, and print its summary."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2.session.stash import context_of, inputs_of, settings_of
from pytest_sst2.utils import locks
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.results.record import Record
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.session import Session

NAME = "sst2-results"


class ResultsPlugin:
    """Hooks of the process that receives every test report, which is any process but a worker of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        # Created for the first cell, so that other runs do not import it.
        self.session: Session | None = None
        # The ids of all cells of the run, in every shard; empty until they are known.
        self.planned: Sequence[str] = ()
        # How the cells were divided among shards; None in a run of all cells.
        self.division: Division | None = None
        self._unlock: Callable[[], None] = lambda: None
        self._pytest_session: pytest.Session | None = None

    def prepare(self) -> None:
        """Lock the results file of the run, and load its inputs.

        Raises:
            pytest.UsageError: Another run is writing the file, or an input is missing or invalid.
        """
        settings = settings_of(self._config)
        if settings.results_path is not None and not self._config.option.collectonly:
            try:
                self._unlock = locks.take(settings.results_path, settings.results_option)
            except Sst2Error as error:
                raise pytest.UsageError(str(error)) from error
        # After the lock: another run may have added its last cells to the file just before.
        inputs_of(self._config)
        if self._config.option.sst2_compare or self._config.option.sst2_save:
            self.current_session()  # so that a run without cells reports that nothing was compared or saved

    def pytest_unconfigure(self) -> None:
        """Release the lock on the results file."""
        self._unlock()

    def set_division(self, division: Division) -> None:
        """Store how the cells were divided among shards."""
        self.division = division
        self.planned = division.planned

    def current_session(self) -> Session:
        """Return the session, with the planned cells that are known by now."""
        if self.session is None:
            from pytest_sst2.session.session import Session

            self.session = Session(settings_of(self._config), inputs_of(self._config))
        self.session.planned, self.session.division = self.planned, self.division
        return self.session

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add the record or the failure of a test report to the session."""
        record, failure = getattr(report, "sst2_record", None), getattr(report, "sst2_failure", None)
        if record is None and failure is None:
            return
        session = self.current_session()
        if record is not None:
            added = session.add(record, getattr(report, "sst2_resumed", None))
            if report.failed and added.reaches_floor:
                session.failed_tests += 1
        if failure is not None:
            session.add_failure(failure)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write and compare the results, and set the exit status of a run whose tests passed."""
        # A shard without cells succeeds and writes its file, because the merge expects one file per shard.
        if self.division is not None and not self.division.mine:
            self.current_session()
            if session.exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
                session.exitstatus = pytest.ExitCode.OK
        if self.session is None or session.config.option.collectonly:
            return
        results = self.current_session()
        stopped = session.shouldstop or session.shouldfail or session.exitstatus == pytest.ExitCode.INTERRUPTED
        results.finish(complete=not stopped)
        self._pytest_session = session
        _add_to_junit(session.config, results.comparison)
        if not session.config.pluginmanager.has_plugin("terminalreporter"):
            self._report(session.config)
        self._set_exit_status()

    def _report(self, config: pytest.Config) -> list[str]:
        """Write the reports, and return lines about them."""
        assert self.session is not None  # noqa: S101 - both callers have checked it
        lines = self.session.report(self._sentences_of, _named_tests(config))
        self._set_exit_status()
        return lines

    def _set_exit_status(self) -> None:
        finished = self._pytest_session
        if self.session is not None and finished is not None and finished.exitstatus == pytest.ExitCode.OK:
            finished.exitstatus = self.session.exit_status

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Sanitize the warnings of a run with cells, because libraries quote files and addresses in them."""
        text = str(warning_message.message)
        if self.session is not None and (sanitized := printable(text)) != text:
            warning_message.message = sanitized

    def _sentences_of(self, record: Record) -> Sequence[str] | None:
        """Return the evaluation sentences of a record, or None if the data cannot be loaded or has changed."""
        try:
            splits = context_of(self._config).splits(record.seed)
        except Sst2Error:
            return None
        return splits.evaluation.sentences if splits.info.digest == record.dataset.digest else None

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the results and the comparison, and then write the reports: drawing them can lose no number."""
        config = terminalreporter.config
        if self.session is None or config.option.collectonly:
            return
        from pytest_sst2.report.ansi import coloured
        from pytest_sst2.report.terminal import summary_lines
        from pytest_sst2.utils.sanitize import encodable, one_line

        writer = config.get_terminal_writer()
        # Otherwise pytest would write an escape sequence of six characters for a character it cannot encode.
        encoding = getattr(getattr(writer, "_file", None), "encoding", None)
        run = self.session
        parts = {"SST-2 benchmark": summary_lines(run.records, run.failures, run.notes, run.problems, writer.fullwidth)}
        if (comparison := run.comparison) is not None:
            from pytest_sst2.report.comparison_text import comparison_lines

            fail_on = settings_of(config).fail_on
            parts["SST-2 comparison"] = comparison_lines(comparison, fail_on, writer.fullwidth)

        def write(lines: Sequence[str]) -> None:
            for line in lines:
                text = encodable(line, encoding)
                terminalreporter.write_line(coloured(text, lambda part, color: writer.markup(part, **{color: True})))

        for title, lines in parts.items():
            terminalreporter.section(title)
            write(lines)
        write([one_line(line) for line in self._report(config)])


def _named_tests(config: pytest.Config) -> list[str]:
    """Return the arguments that name tests, with ``--pyargs`` if given; empty if pytest used its default."""
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    return [*(["--pyargs"] if config.option.pyargs and named else []), *named]


def _add_to_junit(config: pytest.Config, comparison: Comparison | None) -> None:
    """Add the headline and the verdict of every cell to the properties of the JUnit file, if there is one."""
    from _pytest.junitxml import xml_key  # the fixture record_testsuite_property writes no more than this

    if comparison is None or (xml := config.stash.get(xml_key, None)) is None:
        return
    from pytest_sst2.report.comparison_text import properties

    for name, value in properties(comparison, settings_of(config).fail_on):
        xml.add_global_property(name, value)
