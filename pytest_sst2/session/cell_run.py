"""CellRun: what a benchmark test holds in its hand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

from pytest_sst2.models.out_of_memory import told_in_a_sentence
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.locks import EXCLUSIVE, one_at_a_time
from pytest_sst2.utils.sanitize import MOST_CHARACTERS, printable

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.runner.context import RunContext


class Timer(Protocol):
    """Calls a function ``rounds`` times under a benchmark and keeps what is to be known of it."""

    def __call__(self, function: Callable[[], None], rounds: int, prepare: Callable[[], None]) -> None:
        """Call ``function`` up to ``rounds`` times, at least once, and ``prepare`` before each, which is not timed."""

    def describe(self, record: Record) -> None:
        """Keep accuracy and phases beside the times."""

    def leave_out(self) -> None:
        """Say that nothing is timed here: the record comes from an earlier run or another machine, or there is none.

        Nothing changes where something was timed already.
        """


RECORD = pytest.StashKey[Record]()
FAILURE = pytest.StashKey[Failure]()
# With --sst2-resume: "" for a record that was taken from the file, else why it was measured again.
RESUMED = pytest.StashKey[str]()


class CellRun:
    """One cell of the matrix, ready to be measured; the value of the fixture ``sst2_run``."""

    def __init__(
        self, cell: Cell, workbench: Callable[[], RunContext], timer: Timer, item: pytest.Item, *, exclusive: bool
    ) -> None:
        self.cell = cell
        self._exclusive = exclusive
        self._workbench = workbench
        self._timer = timer
        self._item = item
        self._record: Record | None = None

    def measure(self) -> Record:
        """Train and measure the cell and hand its Record to the report; asked again, return the same Record.

        A mistake of the user's (a model that does not exist, say) fails the test with its sentence and no traceback;
        any other error with its traceback. Either way the report names the cell and the reason.
        """
        if self._record is not None:
            return self._record
        reason = ""
        try:
            # Loading libraries and data for a cell would disturb the times of another as its training would.
            with one_at_a_time(EXCLUSIVE) if self._exclusive else contextlib.nullcontext():
                record = self._measure()
        except Sst2Error as error:
            reason = str(error)
        except Exception as error:
            self._failed(f"{type(error).__name__}: {error}")
            raise
        if reason:  # not in the handler: pytest would print the error, and each that it came from, before the sentence
            self._failed(reason)
            pytest.fail(f"{self.cell.id}: {reason}", pytrace=False)
        self._record = self._item.stash[RECORD] = record
        self._item.user_properties.extend(_junit_properties(record))
        return record

    def assert_reaches_floor(self, record: Record) -> None:
        """Fail, in one line, when the accuracy is below the floor; without a floor, pass."""
        if not record.reaches_floor:
            pytest.fail(below_floor(record), pytrace=False)

    def _failed(self, reason: str) -> None:
        self._item.stash[FAILURE] = failure_of(self.cell, reason)
        self._timer.leave_out()

    def _measure(self) -> Record:
        workbench = self._workbench()
        before, reason = workbench.measured_before(self.cell)
        if before is not None:
            self._item.stash[RESUMED] = ""
            self._timer.leave_out()
            return before
        if reason:
            self._item.stash[RESUMED] = reason
        if workbench.executor is not None:
            self._timer.leave_out()
            with workbench.progress.working_on(self.cell.id, self.cell.method.name):
                return workbench.executor.result(self.cell)
        record = self._measured(workbench)
        self._timer.describe(record)
        return record

    def _measured(self, workbench: RunContext) -> Record:
        working = workbench.progress.working_on(self.cell.id, self.cell.method.name)
        memory = told_in_a_sentence(self.cell, workbench.settings.recipe)
        with working, memory, self._output(shown=workbench.settings.talkative):
            runner = workbench.runner(self.cell)
            rounds = workbench.settings.rounds
            self._timer(runner.run_round, rounds, runner.prepare_round)
            runner.run_rounds(rounds)  # the timer ran fewer where benchmarks are switched off
            return runner.record(workbench.floor_for)

    @contextlib.contextmanager
    def _output(self, *, shown: bool) -> Iterator[None]:
        """Let what the libraries print through to the terminal, or leave it to pytest, which keeps it."""
        capture = self._item.config.pluginmanager.getplugin("capturemanager") if shown else None
        if capture is None:
            yield
            return
        with capture.global_and_fixture_disabled():
            yield


def failure_of(cell: Cell, reason: str) -> Failure:
    """Return what is kept of a cell without a number; the reason may quote anything."""
    return Failure(cell.id, cell.model_name, cell.method.name, cell.seed, truncate(printable(reason), MOST_CHARACTERS))


def below_floor(record: Record) -> str:
    """Return the line that says how far below its floor a cell is, and where the floor came from."""
    assert record.floor is not None  # noqa: S101 - asked only of records below a floor
    low, high = record.accuracy_interval
    return (
        f"{record.cell}: accuracy {record.accuracy:.4f} (95 % interval {low:.4f} to {high:.4f}, {record.correct} of "
        f"{record.total}) is below its floor {record.floor.accuracy:.4f} ({record.floor.provenance})"
    )


def _junit_properties(record: Record) -> list[tuple[str, object]]:
    low, high = record.accuracy_interval
    return [
        ("sst2_accuracy", f"{record.accuracy:.6f}"),
        ("sst2_accuracy_interval", f"{low:.6f} {high:.6f}"),
        ("sst2_floor", f"{record.floor.accuracy:.6f}" if record.floor else "none"),
        ("sst2_seconds", f"{sum(phase.seconds for phase in record.phases):.3f}"),
    ]
