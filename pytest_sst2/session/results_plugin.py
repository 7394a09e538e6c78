"""ResultsPlugin: hooks that collect the records of a run, and have its summary printed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from pytest_sst2.session.output_guard import guard_output, move_to_stderr, print_quietly
from pytest_sst2.session.planned_cells import Plan
from pytest_sst2.session.result_hooks import ResultHooks
from pytest_sst2.session.stash import context_of, inputs_of, is_configured, schedule_of, settings_of
from pytest_sst2.utils import locks
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

if TYPE_CHECKING:
    from pytest_sst2.compare.early_check import EarlyCheck
    from pytest_sst2.data.splits import Splits
    from pytest_sst2.results.commit import Commit
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
        # The cells of the run, in every shard; empty until they are known.
        self.plan = Plan()
        # How the cells were divided among shards; None in a run of all cells.
        self.division: Division | None = None
        # Files with an error, in a run that goes on without them (--continue-on-collection-errors).
        self.not_collected: list[str] = []
        self._stopped = False
        # The commit at the start of the run; None if there is none.
        self.commit: Commit | None = None
        self._asked_for_commit = False
        self._stdout: TextIO | None = None
        self._unlock: Callable[[], None] = lambda: None
        self._pytest_session: pytest.Session | None = None
        self._hooks = ResultHooks(config)
        # What is known about the comparison before the first cell; None if nothing is.
        self.early_check: EarlyCheck | None = None
        # Whether the run ends before its first cell, because no cell can be compared.
        self.is_hopeless = False

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
        # So that a run without cells reports that nothing was compared or saved, and prints an empty file.
        if self._config.option.sst2_compare or self._config.option.sst2_save or settings.prints_json:
            self.current_session()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Keep the run going if its output goes away, and print to stderr if stdout is for the results file."""
        if is_configured(self._config):
            if settings_of(self._config).prints_json:
                self._stdout = move_to_stderr(self._config)
            guard_output(self._config)

    def pytest_unconfigure(self) -> None:
        """Print the results file if stdout is for it, and release the lock on it."""
        try:
            if self._stdout is not None and self.session is not None and not self._config.option.collectonly:
                print_quietly(self._stdout, self.session.gathered.results_text())
        finally:
            self._unlock()

    def set_plan(self, plan: Plan, division: Division | None = None) -> None:
        """Store the cells of the run, and how they were divided among shards."""
        self.plan, self.division = plan, division
        if plan.selected and not self._config.option.collectonly:
            guard_output(self._config)
            if not self._asked_for_commit:
                from pytest_sst2.results.commit import commit_of

                self._asked_for_commit = True
                self.commit = commit_of(settings_of(self._config).rootdir)

    def check_early(self, splits: Callable[[int], Splits]) -> None:
        """Find out which cells cannot be compared with the baseline, from the rows of each seed.

        Raises:
            Sst2Error: A declared change cannot be right, or the rows of a seed cannot be drawn.
        """
        baseline = inputs_of(self._config).baseline
        if baseline is None or not baseline.records or not self.plan.selected:
            return
        from pytest_sst2.session.early_check import early_check, stops

        settings = settings_of(self._config)
        self.early_check = early_check(settings, baseline, self.plan.selected, splits)
        self.is_hopeless = stops(settings, self.early_check)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self) -> None:
        """End a run before its first cell if no cell can be compared; the exit status is that of such cells."""
        self.end_if_hopeless()

    def end_if_hopeless(self) -> None:
        """Raise ``pytest.Session.Interrupted`` if no cell can be compared."""
        if self.is_hopeless:
            raise pytest.Session.Interrupted(
                f"no cell can be compared with {settings_of(self._config).compare}, so none is measured; "
                "--sst2-anyway measures them"
            )

    def current_session(self) -> Session:
        """Return the session, with the planned cells that are known by now."""
        if self.session is None:
            from pytest_sst2.session.gathered import Gathered
            from pytest_sst2.session.session import Session

            schedule = schedule_of(self._config)
            self.session = Session(Gathered(settings_of(self._config), inputs_of(self._config), schedule))
        gathered = self.session.gathered
        gathered.plan, gathered.division, gathered.commit = self.plan, self.division, self.commit
        self.session.not_collected = self.not_collected
        return self.session

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add the record or the failure of a test report to what was gathered."""
        record, failure = getattr(report, "sst2_record", None), getattr(report, "sst2_failure", None)
        lost, not_needed = getattr(report, "sst2_lost", None), getattr(report, "sst2_not_needed", None)
        if record is failure is lost is not_needed is None:
            return
        gathered = self.current_session().gathered
        if not_needed is not None:
            gathered.add_skipped(not_needed)
        if lost is not None:
            gathered.add_lost(lost, failed=report.failed, by_mark=getattr(report, "sst2_skipped_by_mark", False))
        if record is not None:
            resumed = getattr(report, "sst2_resumed", None)
            added = gathered.add(record, resumed)
            if report.failed and added.reaches_floor:
                gathered.failed_tests += 1
            if resumed != "":
                self._hooks.record(added)
        if failure is not None:
            gathered.add_failure(failure)

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
        stopped = self._stopped or session.shouldstop or session.shouldfail
        stopped = stopped or session.exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        if self.is_hopeless and self.early_check is not None:
            # Files of earlier runs stay as they are.
            results.comparison = self.early_check.comparison
        else:
            results.finish(complete=not stopped, passed=session.exitstatus == pytest.ExitCode.OK)
        if results.comparison is not None:
            self._hooks.comparison(results.comparison)
        results.problems += self._hooks.problems
        self._pytest_session = session
        _add_to_junit(session.config, results)
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

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that the run was stopped: ``pytest.exit`` may set any exit status."""
        self._stopped = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember a file that could not be collected: it may have benchmarks."""
        if report.failed:
            self.not_collected.append(report.nodeid)

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
        from pytest_sst2.session.terminal_sections import TerminalSections
        from pytest_sst2.utils.sanitize import one_line

        sections = TerminalSections(terminalreporter, self.current_session())
        sections.print(only_comparison=self.is_hopeless)
        sections.write([one_line(line) for line in self._report(config)])


def _named_tests(config: pytest.Config) -> list[str]:
    """Return the arguments that name tests, with ``--pyargs`` if given; empty if pytest used its default."""
    named = config.args if config.args_source is config.ArgsSource.ARGS else []
    return [*(["--pyargs"] if config.option.pyargs and named else []), *named]


def _add_to_junit(config: pytest.Config, run: Session) -> None:
    """Add the headline and the verdict of every cell to the properties of the JUnit file, if there is one."""
    from _pytest.junitxml import xml_key  # the fixture record_testsuite_property writes no more than this

    if run.comparison is None or (xml := config.stash.get(xml_key, None)) is None:
        return
    from pytest_sst2.report.junit import run_properties

    for name, value in run_properties(run.comparison, run.opening()):
        xml.add_global_property(name, value)
