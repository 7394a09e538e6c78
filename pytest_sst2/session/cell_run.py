"""CellRun: measures one cell of the matrix; the value of the fixture ``sst2_run``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pytest

from pytest_sst2.instruments.library_state import default_library_state
from pytest_sst2.report.junit import cell_properties
from pytest_sst2.results.looks import Skipped
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.runner.executor import SeedNotNeededError
from pytest_sst2.runner.out_of_memory import out_of_memory_explained
from pytest_sst2.session.planned_cells import NOT_NEEDED, attach_lost, failure_of
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.locks import EXCLUSIVE, one_at_a_time

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.runner.context import RunContext


class Timer(Protocol):
    """Times the rounds of a cell."""

    def __call__(self, function: Callable[[], None], rounds: int, prepare: Callable[[], None]) -> None:
        """Call ``function`` up to ``rounds`` times, at least once; call ``prepare`` before each, without timing it."""

    def describe(self, record: Record) -> None:
        """Store accuracy and phases next to the times."""

    def skip(self) -> None:
        """Report no time, unless something was timed already: there is no record, or it was not measured here."""


RECORD = pytest.StashKey[Record]()
FAILURE = pytest.StashKey[Failure]()
# With --sst2-resume: empty if the record was taken from the file, else the reason why the cell was measured again.
RESUMED = pytest.StashKey[str]()


class CellRun:
    """One cell of the matrix, ready to be measured.

    Attributes:
        cell: The cell.
    """

    def __init__(
        self, cell: Cell, context: Callable[[], RunContext], timer: Timer, item: pytest.Item, *, exclusive: bool
    ) -> None:
        self.cell = cell
        self._exclusive = exclusive
        self._context = context
        self._timer = timer
        self._item = item
        self._record: Record | None = None

    def measure(self) -> Record:
        """Train and measure the cell, and return its Record; a second call returns the same Record.

        With ``--sst2-seeds auto``, skip the test if the cell is decided without this seed.
        A user's mistake, such as a model that does not exist, fails the test with its message and without a traceback.
        Any other error is raised. In both cases the summary names the cell and the reason.
        """
        if self._record is not None:
            return self._record
        reason, not_needed = "", ""
        try:
            # The lock includes loading, which would disturb the times of another cell as much as training does.
            with one_at_a_time(EXCLUSIVE) if self._exclusive else contextlib.nullcontext():
                record = self._measure()
        except SeedNotNeededError as error:
            not_needed = str(error)
        except Sst2Error as error:
            reason = str(error)
        except Exception as error:
            self._store_failure(f"{type(error).__name__}: {error}")
            raise
        if reason:  # outside the handler, because pytest would print the chain of errors before the message
            self._store_failure(reason)
            pytest.fail(f"{self.cell.name}: {reason}", pytrace=False)
        if not_needed:
            self._skip(not_needed)
        self._record = self._item.stash[RECORD] = record
        self._item.user_properties.extend(cell_properties(record))
        return record

    def assert_reaches_floor(self, record: Record) -> None:
        """Fail with one line if the accuracy is below the floor; pass if there is no floor."""
        if not record.reaches_floor:
            pytest.fail(below_floor(record), pytrace=False)

    def _store_failure(self, reason: str) -> None:
        self._item.stash[FAILURE] = failure_of(self.cell, reason)
        self._timer.skip()
        if (schedule := self._context().schedule) is not None:
            schedule.add_failure(self.cell.key, self.cell.seed)

    def _skip(self, reason: str) -> NoReturn:
        self._item.stash[NOT_NEEDED] = Skipped(self.cell.id, *self.cell.key, self.cell.seed, reason)
        self._timer.skip()
        pytest.skip(reason)

    def _measure(self) -> Record:
        """Return the record from the resumed file, from the executor, or measured in this process."""
        context = self._context()
        schedule = context.schedule
        if schedule is not None and (why := schedule.reason_to_skip(self.cell.key, self.cell.seed)):
            context.progress.number += 1
            raise SeedNotNeededError(why)
        record, reason = self._measured_or_resumed(context)
        if schedule is not None:
            schedule.add(record, measured_again=bool(reason))
        return record

    def _measured_or_resumed(self, context: RunContext) -> tuple[Record, str]:
        """Return the record, and why it was measured again although the resumed file has one."""
        before, reason = context.measured_before(self.cell)
        if before is not None:
            self._item.stash[RESUMED] = ""
            self._timer.skip()
            return before, ""
        if reason:
            self._item.stash[RESUMED] = reason
        if context.executor is not None:
            self._timer.skip()
            with context.progress.working_on(self.cell.name, self.cell.method.name):
                return context.executor.result(self.cell), reason
        record = self._measure_here(context)
        self._timer.describe(record)
        return record, reason

    def _measure_here(self, context: RunContext) -> Record:
        working = context.progress.working_on(self.cell.name, self.cell.method.name)
        memory = out_of_memory_explained(self.cell, context.settings.recipe)
        # With -v, libraries print to the terminal; otherwise pytest captures it.
        capture = self._item.config.pluginmanager.getplugin("capturemanager") if context.settings.talkative else None
        shown = capture.global_and_fixture_disabled() if capture else contextlib.nullcontext()
        with working, memory, shown, default_library_state(context.device) as warnings:
            runner = context.runner(self.cell)
            rounds = context.settings.rounds
            self._timer(runner.run_round, rounds, runner.prepare_round)
            runner.run_rounds(rounds)  # the timer runs fewer if benchmarks are disabled
            record = runner.record(context.floor_for)
        return replace(record, warnings=(*record.warnings, *warnings))


def attach_results(item: pytest.Item, report: Any, call: pytest.CallInfo[None]) -> None:
    """Attach what a test measured to its report as JSON, which pytest-xdist sends from a worker to the controller.

    A test that ended without a record and without a failure gets the reason instead.
    """
    if RECORD not in item.stash and FAILURE not in item.stash:
        attach_lost(item, report, call)
    if call.when != "call":
        return
    if (resumed := item.stash.get(RESUMED, None)) is not None:
        report.sst2_resumed = resumed
    if (record := item.stash.get(RECORD, None)) is not None:
        report.sst2_record = record.to_json()
    if (failure := item.stash.get(FAILURE, None)) is not None:
        report.sst2_failure = asdict(failure)


def below_floor(record: Record) -> str:
    """Return the message for an accuracy below the floor, with the source of the floor."""
    assert record.floor is not None  # noqa: S101 - a record below its floor has one
    low, high = record.accuracy_interval
    return (
        f"{record.name}: accuracy {record.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {record.correct} of "
        f"{record.total}) is below its floor {record.floor.accuracy:.4f} ({record.floor.provenance})"
    )
