"""Session: collects the records of a run, and writes and compares them at its end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.config.against import AGAINST_OPTION
from pytest_sst2.report.write import STEP_SUMMARY, append_step_summary, write_report
from pytest_sst2.results.baselines import matches, not_saved, save_baseline
from pytest_sst2.results.calibration import calibrate_floors
from pytest_sst2.results.commit import Commit
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.looks import Skipped
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.resume import resume_notes
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.results.writer import ResultsWriter
from pytest_sst2.session.auto_seeds import skipped_note
from pytest_sst2.session.lost_cells import lost_cells
from pytest_sst2.session.planned_cells import Plan
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten
from pytest_sst2.utils.unexpected import UNEXPECTED, unexpected

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.compare.looks import SeedSchedule
    from pytest_sst2.compare.within_run import WithinRun
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.data.sentence_lookup import SentencesOf
    from pytest_sst2.report.summary import Report
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.inputs import Inputs


class Session:
    """The results of one run.

    Attributes:
        failures: One per cell that could not be measured.
        notes: Lines below the table, such as the files written.
        problems: Lines about what fails the run although no test failed.
        failed_tests: Number of tests that failed although their cell was measured and reaches its floor.
        plan: The cells of the run, in every shard; empty if they are unknown.
        not_collected: Files that could not be collected, in a run that went on without them.
        commit: The commit of the user's repository at the start of the run.
        resumed: From cells of the resumed file to the reason why they were measured again; empty if they were not.
    """

    def __init__(self, settings: Settings, inputs: Inputs, schedule: SeedSchedule | None = None) -> None:
        self.settings = settings
        self.inputs = inputs
        self._schedule = schedule
        self._skipped: dict[str, Skipped] = {}
        self._by_cell: dict[str, Record] = {}
        self._measured_again: dict[str, None] = {}
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.comparison: Comparison | None = None
        self.within: WithinRun | None = None
        self.failed_tests = 0
        self.plan = Plan()
        self.not_collected: Sequence[str] = ()
        self.commit: Commit | None = None
        self._lost: dict[str, Failure] = {}  # the reasons of tests that ended without measuring their cell
        self.division: Division | None = None
        self.resumed: dict[str, str] = {}
        self._write_error = ""
        self._stopped = False
        self._is_broken = False
        self._early: set[str] = set()  # cells whose record was written before their test ran

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
    def _results(self) -> Results:
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
            self._measured_again[record.cell] = None
        self._by_cell[record.cell] = record
        # A scheduler of another plugin may have run a crashed cell again.
        self.failures = [failure for failure in self.failures if failure.cell != record.cell]
        if resumed is not None:
            self.resumed[record.cell] = resumed
        if self._schedule is not None:
            # A worker of pytest-xdist has a schedule of its own.
            self._schedule.add(record, measured_again=bool(resumed))
        self._write(lambda writer: writer.add(record, remeasured=bool(resumed), looks=self._results.looks))
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
            self._early.add(record.cell)
            self._write(lambda writer: writer.add(record, remeasured=record.cell in unfinished))

        return write

    def add_failure(self, failure_json: dict[str, Any]) -> None:
        """Add a failure from a test report, and write it to the results file.

        A cell that was measured, or failed before, stays as it is: its worker may die after it sent the record.
        """
        failure = Failure(**failure_json)
        if failure.cell in self._results.finished:
            self.failed_tests += failure.cell in self._by_cell
            return
        self.failures.append(failure)
        self._write(lambda writer: writer.add_failure(failure))

    def add_lost(self, failure_json: dict[str, Any], *, failed: bool) -> None:
        """Store why a test ended without measuring its cell. It counts if no other test measures the cell.

        A test that was skipped fails nothing in a run whose results are neither written nor compared.
        """
        failure = Failure(**failure_json)
        if failed or self._keeps_results:
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
    def exit_status(self) -> int:
        """The exit status of the run if every test passed.

        0; 1 for a problem or a failed gate; 2 if the runs cannot be compared; 3 if an output failed unexpectedly.
        """
        if self._is_broken:
            return UNEXPECTED
        if self.problems:
            return 1
        return self.comparison.exit_status(self.settings.fail_on) if self.comparison else 0

    def finish(self, *, complete: bool, passed: bool) -> None:
        """Write and compare the results; an error there becomes a problem of the run.

        ``complete`` tells whether the run went to its end, ``passed`` whether every test passed.
        """
        self._stopped = not complete
        complete = not self._add_lost_cells(complete=complete) and complete
        # What was measured is written first. Nothing that fails afterwards loses it.
        self._attempt("the results file", lambda: self._close(complete=complete))
        self._attempt("the summary", self._add_notes)
        self._attempt("the baseline", self._save)
        self._check_one_dataset()
        self._attempt("the floors", self._calibrate)
        self._attempt("the comparison", self._compare)
        self._attempt("the comparison within the run", self._compare_within)
        if passed and self.failures and self._keeps_results and self.exit_status == 0:
            self.problems.append(self._without_number)

    def _add_lost_cells(self, *, complete: bool) -> bool:
        """Add a failure for each cell that has no number and should have one; return whether there is one."""
        known = {*self._results.finished, *(self.division.others if self.division else ())}
        saves, patterns = self.inputs.save_path is not None, self.settings.drop_cells
        if saves:
            known |= {cell for cell, *_ in (*self.plan.selected, *self.plan.left_out) if matches(cell, patterns)}
        lost = lost_cells(self.plan, self._lost, known, complete=complete, keeps=self._keeps_results, saves=saves)
        self.failures += lost
        for failure in lost:
            self._write(lambda writer, failure=failure: writer.add_failure(failure, keeps_record=True))  # type: ignore[misc]
        return bool(lost)

    def results_text(self) -> str:
        """Return the results file of this run, for ``--sst2-json -``."""
        return results_text(
            self.records,
            self.failures,
            saved=datetime.now(UTC).isoformat(timespec="seconds"),
            planned=self._results.planned,
            shard=str(self.settings.shard or ""),
        )

    @property
    def _keeps_results(self) -> bool:
        """Whether the results of this run are written or compared, so that others rely on them."""
        settings = self.settings
        return bool(
            settings.results_path
            or settings.prints_json
            or settings.save
            or settings.compare
            or settings.calibrate_floors
        )

    @property
    def _without_number(self) -> str:
        cells = shorten([failure.cell for failure in self.failures])
        return (
            f"{plural(len(self.failures), 'cell')} without a number although no test failed: {cells}. "
            "To leave a cell out on purpose, do not select its test: -k, -m, or a path."
        )

    def _check_one_dataset(self) -> None:
        datasets = {(record.dataset.name, record.dataset.revision) for record in self.records}
        if len(datasets) > 1:
            names = ", ".join(f"{name} {revision}" for name, revision in sorted(datasets))
            self.problems.append(
                f"the cells of this run were measured on different data ({names}), so they cannot be compared. "
                "Name the data with --sst2-data."
            )

    def _close(self, *, complete: bool) -> None:
        """Write the results file for the last time."""
        if (writer := self._writer) is None:
            return
        results = self._results
        writer.close(complete=complete and not results.missing, without=self._foreign_cells(), run=results)
        earlier = writer.count - len(self.records)
        more = f", and {earlier} from earlier runs" if earlier else ""
        self.notes.append(f"{plural(len(self.records), 'record')} in {writer.path}{more}")
        if self._write_error:
            self.notes.append(f"the results file is complete now, but an earlier write failed: {self._write_error}")
        if writer.backup is not None:
            self.notes.append(f"its previous content is in {writer.backup}")

    def _foreign_cells(self) -> list[str]:
        """Return the ids of cells in the resumed file that differ from this run's in data or recipe."""
        tables = {_table_of(record) for record in self.records}
        if not tables or self.inputs.unfinished is None:
            return []
        others = [record.cell for record in self.inputs.unfinished.records if _table_of(record) not in tables]
        finished = self._results.finished
        return [cell for cell in others if cell not in finished]

    def _add_notes(self) -> None:
        """Add the notes about cells that were taken from a file, left to other shards, not run, or run again."""
        results, division = self._results, self.division
        if self.inputs.unfinished is not None:
            mine = division.mine if division else self.planned
            total = max(len(mine), len(results.finished))
            self.notes += resume_notes(self.inputs.unfinished, self.resumed, total)
        if division is not None:
            self.notes.append(division.line)
        others = division.others if division else ()
        if not_run := [cell for cell in results.missing if cell not in others]:
            early = self._early & {*not_run}
            written = f" ({len(early)} of them were measured and written)" if early else ""
            self.notes.append(f"{plural(len(not_run), 'cell')} did not run{written}: {shorten(not_run)}")
        if results.skipped:
            self.notes.append(skipped_note(results.skipped))
        if self._measured_again:
            self.notes.append(
                f"{plural(len(self._measured_again), 'cell')} measured more than once, by several tests or a rerun; "
                f"the last record wins: {shorten([*self._measured_again])}"
            )

    def _calibrate(self) -> None:
        if self.settings.calibrate_floors:
            floors = calibrate_floors(self.records, self.settings.floors_path, overwrite=self.settings.overwrite)
            self.notes += floors.notes
            self.problems += floors.problems

    def _compare(self) -> None:
        before = baseline = self.inputs.baseline
        if baseline is None:
            return
        if self.division is not None:
            from pytest_sst2.session.shard import baseline_of_shard

            before, note = baseline_of_shard(baseline, self._results, self.division)
            self.notes.append(note)
        if before is not None:
            self._compare_with(before)

    def _compare_with(self, before: Results) -> None:
        from pytest_sst2.compare.comparison import compare

        settings = self.settings
        comparison = compare(
            before, self._results, tolerance=settings.tolerance, alpha=settings.alpha, declared=settings.changed
        )
        if comparison.to_declare and settings.results_path is not None:
            # What was measured need not be measured again.
            command = shlex.join(["pytest-sst2", "compare", str(settings.compare), str(settings.results_path)])
            comparison = replace(comparison, to_declare=f"{command} {comparison.to_declare}")
        self.comparison = comparison

    def _compare_within(self) -> None:
        """Compare cells of this run with one another; a shard has some of them only."""
        settings = self.settings
        if not settings.against:
            return
        if self.division is not None:
            pairs = shlex.join(["--pair", ",".join(settings.against)])
            self.notes.append(f"{AGAINST_OPTION}: after the merge of the shards, pytest-sst2 compare FILE {pairs}")
            return
        from pytest_sst2.compare.within_run import compare_within

        self.within = compare_within(
            self._results,
            settings.against,
            tolerance=settings.tolerance,
            alpha=settings.alpha,
            option=AGAINST_OPTION,
            strict=False,
        )
        if settings.against_gates and (flagged := self.within.flagged(settings.fail_on)):
            from pytest_sst2.report.within_run_text import gate_line

            self.problems.append(gate_line(flagged))

    def _save(self) -> None:
        """Save a baseline, unless a cell is missing: a gate would pass because it has nothing to compare."""
        if (path := self.inputs.save_path) is None:
            return
        if self._stopped and not self.failures:
            raise not_saved(path, "the run stopped")
        if self.not_collected:
            raise not_saved(path, f"{shorten(self.not_collected)} could not be collected, and may have benchmarks")
        dropped = save_baseline(
            path,
            self.records,
            self.failures,
            overwrite=self.settings.overwrite,
            planned=[cell for cell, *_ in (*self.plan.selected, *self.plan.left_out)],
            drop=self.settings.drop_cells,
        )
        without = f", without {shorten(dropped)}" if dropped else ""
        self.notes.append(f"baseline {path.stem!r} with {plural(len(self.records), 'record')} in {path}{without}")

    def report(self, sentences_of: SentencesOf, tests: Sequence[str] | None = None) -> list[str]:
        """Write the reports, after everything else was written and printed; return lines about what was written.

        ``tests`` are the arguments of pytest that name tests, as typed; None if unknown. An error becomes a problem of
        the run.
        """
        folder = self.settings.report_path
        if folder is None and STEP_SUMMARY not in os.environ:
            return []
        from pytest_sst2.report.summary import make_report

        results, printed = self._results, (len(self.notes), len(self.problems))
        report = make_report(results, self.comparison, self.settings.fail_on, self._all_problems, tests, self.within)
        self._attempt("the job summary", lambda: append_step_summary(report))
        if folder is not None:
            self._attempt("the report", lambda: self._write_report(folder, report, results, sentences_of))
        return [*self.notes[printed[0] :], *(f"ERROR: {problem}" for problem in self.problems[printed[1] :])]

    def opening(self) -> tuple[str, str]:
        """Return the headline of the run, which floors and failures decide too, and what it means."""
        from pytest_sst2.compare.run_outcome import run_outcome
        from pytest_sst2.report.headline import run_advice, run_headline

        results, comparison, fail_on = self._results, self.comparison, self.settings.fail_on
        outcome = run_outcome(results, comparison, fail_on, self._all_problems)
        return run_headline(outcome, results, comparison, fail_on), run_advice(outcome, comparison, fail_on)

    @property
    def _all_problems(self) -> tuple[str, ...]:
        stopped = ("the run was stopped before its last cell",) if self._stopped else ()
        failed = (f"{plural(self.failed_tests, 'test')} failed by more than a floor",) if self.failed_tests else ()
        return (*self.problems, *stopped, *failed)

    def _write_report(self, folder: Path, report: Report, results: Results, sentences_of: SentencesOf) -> None:
        from pytest_sst2.compare.cell_analysis import analyse_cells

        cells = analyse_cells(results, sentences_of, self.inputs.baseline, self.comparison)
        paths = write_report(folder, report, cells)
        self.notes.append(f"report in {paths[0]}, with {' and '.join(path.name for path in paths[1:])}")

    def _attempt(self, name: str, work: Callable[[], None]) -> None:
        """Write an output; any error becomes a problem of the run, and no result is lost."""
        try:
            work()
        except Sst2Error as error:
            self.problems.append(str(error))
        except Exception as error:
            self.problems.append(unexpected(name, error))
            self._is_broken = True


def _table_of(record: Record) -> tuple[str, str, str, str]:
    """Return the data set and recipe, which all cells of one table share."""
    return record.dataset.name, record.dataset.revision, record.dataset.split, record.recipe_label
