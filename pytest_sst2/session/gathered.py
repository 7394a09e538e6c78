"""The records and failures of one run, and the results file that they are written to as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_sst2.results.baselines import matches
from pytest_sst2.results.commit import Commit
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.looks import Skipped
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.results.writer import ResultsWriter
from pytest_sst2.session.lost_cells import lost_cells
from pytest_sst2.session.planned_cells import Plan
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural

if TYPE_CHECKING:
    from pytest_sst2.compare.seed_schedule import SeedSchedule
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.inputs import Inputs


class Gathered:
    """What the tests of one run reported.

    Attributes:
        failures: One per cell that could not be measured.
        failed_tests: Number of tests that failed although their cell was measured and reaches its floor.
        plan: The cells of the run, in every shard; empty if they are unknown.
        division: How the cells were divided among shards; None in a run of all cells.
        commit: The commit of the user's repository at the start of the run.
        resumed: From cells of the resumed file to the reason why they were measured again; empty if they were not.
        measured_again: The cells that were measured more than once.
        early: The cells whose record was written before their test ran.
    """

    def __init__(self, settings: Settings, inputs: Inputs, schedule: SeedSchedule | None = None) -> None:
        self.settings = settings
        self.inputs = inputs
        self._schedule = schedule
        self._skipped: dict[str, Skipped] = {}
        self._by_cell: dict[str, Record] = {}
        self._lost: dict[str, Failure] = {}  # the reasons of tests that ended without measuring their cell
        self._left_out: dict[str, None] = {}  # cells whose test a mark skipped
        self._write_error = ""
        self.measured_again: dict[str, None] = {}
        self.failures: list[Failure] = []
        self.failed_tests = 0
        self.plan = Plan()
        self.commit: Commit | None = None
        self.division: Division | None = None
        self.resumed: dict[str, str] = {}
        self.early: set[str] = set()

    @cached_property
    def _writer(self) -> ResultsWriter | None:
        """Writes each record when it is finished; created with the first one, so that nothing is touched before."""
        if (path := self.settings.results_path) is None:
            return None
        return ResultsWriter(
            path,
            self.planned,
            shard=str(self.settings.shard or ""),
            resumed=self.inputs.unfinished if self.settings.resumes_in_place else None,
        )

    @property
    def planned(self) -> list[str]:
        """The ids of the cells that this run selected, in every shard."""
        return [cell for cell, *_ in self.plan.selected]

    @property
    def records(self) -> Sequence[Record]:
        """One per measured cell, whether it reaches its floor or not."""
        return tuple(self._by_cell.values())

    @property
    def results(self) -> Results:
        """The results of the run so far."""
        return Results(
            self.records,
            self.failures,
            origin="this run",
            planned=self.planned,
            looks=self._schedule.looks if self._schedule else (),
            skipped=[one for one in self._skipped.values() if one.cell not in self._by_cell],
        )

    def add(self, record_json: dict[str, Any], resumed: str | None = None) -> Record:
        """Add a record from a test report, write it to the results file, and return it.

        If a cell is measured more than once, the last record wins. ``resumed`` is None if no earlier run measured the
        cell, empty if its record was taken from there, and else the reason why it was measured again.
        """
        record = record_from_json(record_json)
        if resumed != "":
            record = replace(record, commit=self.commit)
        if record.cell in self._by_cell and resumed != "":
            self.measured_again[record.cell] = None
        self._by_cell[record.cell] = record
        # A scheduler of another plugin may have run a crashed cell again.
        self.failures = [failure for failure in self.failures if failure.cell != record.cell]
        if resumed is not None:
            self.resumed[record.cell] = resumed
        if self._schedule is not None:
            # A worker of pytest-xdist has a schedule of its own.
            self._schedule.add(record, measured_again=bool(resumed))
        self._write(lambda writer: writer.add(record, remeasured=bool(resumed), looks=self.results.looks))
        return record

    def add_skipped(self, skipped_json: dict[str, Any]) -> None:
        """Add a seed that was not needed, from a test report. The results file gets it with the next record."""
        skipped = Skipped(**skipped_json)
        self._skipped[skipped.cell] = skipped

    def early_writer(self) -> Callable[[Record], None]:
        """Return a function that writes a record before its test runs; another thread may call it."""
        _ = self._writer  # created here, because two threads could create one each
        unfinished = {record.cell for record in self.inputs.unfinished.records} if self.inputs.unfinished else set()

        def write(record: Record) -> None:
            record = replace(record, commit=self.commit)
            self.early.add(record.cell)
            self._write(lambda writer: writer.add(record, remeasured=record.cell in unfinished))

        return write

    def add_failure(self, failure_json: dict[str, Any]) -> None:
        """Add a failure from a test report, and write it to the results file.

        A cell that was measured, or failed before, stays as it is: its worker may die after it sent the record.
        """
        failure = Failure(**failure_json)
        if failure.cell in self.results.finished:
            self.failed_tests += failure.cell in self._by_cell
            return
        if self._schedule is not None and self._ends_cell(failure, self._schedule):
            return
        self.failures.append(failure)
        self._write(lambda writer: writer.add_failure(failure))

    def _ends_cell(self, failure: Failure, schedule: SeedSchedule) -> bool:
        """Store that the other seeds of a cell are not needed; return whether the failed seed was not needed either.

        A worker may die before it skips the seeds of a cell that is decided. No other worker gets seeds that are not
        needed, so they are stored here.
        """
        key = (failure.model, failure.method)
        if not (decided := schedule.decision(key, failure.seed)):
            schedule.add_failure(key, failure.seed)
        for cell, model, method, seed in self.plan.selected:
            if cell not in self._by_cell and (reason := schedule.reason_to_skip((model, method), seed)):
                self._skipped[cell] = Skipped(cell, model, method, seed, reason)
        return bool(decided)

    def add_lost(self, failure_json: dict[str, Any], *, failed: bool, by_mark: bool = False) -> None:
        """Store why a test ended without measuring its cell. It counts if no other test measures the cell.

        A test that was skipped fails nothing in a run whose results are neither written nor compared. A mark that skips
        a test leaves its cell out on purpose, as ``-k`` does: it fails nothing unless a baseline or floors are saved.
        """
        failure = Failure(**failure_json)
        if by_mark and not (self.settings.save or self.settings.calibrate_floors):
            self._left_out[failure.cell] = None
        elif failed or self.keeps_results:
            self._lost[failure.cell] = failure

    def _write(self, write: Callable[[ResultsWriter], None]) -> None:
        """Write to the results file; an error does not stop the run, and is reported at its end."""
        if self._writer is None:
            return
        try:
            write(self._writer)
        except Sst2Error as error:
            self._write_error = str(error)

    @property
    def keeps_results(self) -> bool:
        """Whether the results of this run are written or compared, so that others rely on them."""
        settings = self.settings
        return bool(
            settings.results_path
            or settings.prints_json
            or settings.save
            or settings.compare
            or settings.calibrate_floors
        )

    def add_lost_cells(self, *, complete: bool) -> bool:
        """Add a failure for each cell that has no number and should have one; return whether there is one."""
        known = {*self.results.finished, *self._left_out, *(self.division.others if self.division else ())}
        saves, patterns = self.inputs.save_path is not None, self.settings.drop_cells
        if saves:
            known |= {cell for cell, *_ in (*self.plan.selected, *self.plan.left_out) if matches(cell, patterns)}
        lost = lost_cells(self.plan, self._lost, known, complete=complete, keeps=self.keeps_results, saves=saves)
        self.failures += lost
        for failure in lost:
            self._write(lambda writer, failure=failure: writer.add_failure(failure, keeps_record=True))  # type: ignore[misc]
        return bool(lost)

    def results_text(self) -> str:
        """Return the results file of this run, for ``--sst2-json -``."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return results_text(replace(self.results, saved=now, shard=str(self.settings.shard or "")))

    def close(self, *, complete: bool) -> list[str]:
        """Write the results file for the last time, if there is one, and return lines about it."""
        if (writer := self._writer) is None:
            return []
        results = self.results
        writer.close(complete=complete and not results.missing, without=self._foreign_cells(), run=results)
        earlier = writer.count - len(self.records)
        more = f", and {earlier} from earlier runs" if earlier else ""
        notes = [f"{plural(len(self.records), 'record')} in {writer.path}{more}"]
        if self._write_error:
            notes.append(f"the results file is complete now, but an earlier write failed: {self._write_error}")
        if writer.backup is not None:
            notes.append(f"its previous content is in {writer.backup}")
        return notes

    def _foreign_cells(self) -> list[str]:
        """Return the ids of cells in the resumed file that differ from this run's in data or recipe."""
        tables = {_table_of(record) for record in self.records}
        if not tables or self.inputs.unfinished is None:
            return []
        others = [record.cell for record in self.inputs.unfinished.records if _table_of(record) not in tables]
        finished = self.results.finished
        return [cell for cell in others if cell not in finished]


def _table_of(record: Record) -> tuple[str, str, str, str]:
    """Return the data set and recipe, which all cells of one table share."""
    return record.dataset.name, record.dataset.revision, record.dataset.split, record.recipe_label
