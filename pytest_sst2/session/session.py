"""Session: gathers the Records of a run on the controller, and at its end writes results and floors."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.report.write import STEP_SUMMARY, append_step_summary, write_report
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import MINIMUM_SEEDS, FloorKey, calibrated_floor, write_floors
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.validation import record_from_json
from pytest_sst2.results.writer import ResultsWriter
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.data.sentence_lookup import SentencesOf
    from pytest_sst2.report.summary import Report
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.inputs import Inputs


class Session:
    """What one run measured.

    Attributes:
        failures: One a cell without a number.
        notes: What the reader is told below the table: files written, cells that could not be calibrated.
        problems: The same for what must fail the run although no test failed.
        comparison: What the comparison with the baseline found; None where none was asked for.
        failed_tests: Tests that failed although their cell has a number and reaches its floor.
        planned: The ids of all cells of the run, in every shard; empty where that is not known.
        division: How the cells were divided among shards; None in a run of all of them.
        resumed: With ``--sst2-resume``, by the ids of the cells that stood in the file: why they were measured again,
            the empty text for one that was taken from it.
    """

    def __init__(self, settings: Settings, inputs: Inputs) -> None:
        self.settings = settings
        self.inputs = inputs
        self._by_cell: dict[str, Record] = {}
        # Cells that several tests have measured, or one that was run again.
        self._measured_again: dict[str, None] = {}
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.comparison: Comparison | None = None
        self.failed_tests = 0
        self.planned: Sequence[str] = ()
        self.division: Division | None = None
        self.resumed: dict[str, str] = {}
        self._unwritten = ""
        # Cells whose record was written before their test had its turn.
        self._early: set[str] = set()

    @cached_property
    def _journal(self) -> ResultsWriter | None:
        """Where records are written as they come; begun with the first, so that nothing is touched before."""
        settings = self.settings
        if (path := settings.results_path) is None:
            return None
        return ResultsWriter(
            path,
            self.planned,
            shard=str(settings.shard or ""),
            standing=self.inputs.unfinished if settings.resumes_in_place else None,
        )

    @property
    def records(self) -> Sequence[Record]:
        """One a measured cell, whether it reached its floor or not."""
        return tuple(self._by_cell.values())

    def add(self, record: dict[str, Any], resumed: str | None = None) -> Record:
        """Take the JSON of a Record, as it travels in a test report, write it down, and return the Record.

        Of a cell that is measured more than once, by two tests that ask for it or by a rerun, the last one stands.

        Args:
            record: The JSON.
            resumed: "" for one that was taken from an earlier run, else why the earlier one did not count; None where
                there was none.
        """
        made = record_from_json(record)
        if made.cell in self._by_cell and resumed != "":
            self._measured_again[made.cell] = None
        self._by_cell[made.cell] = made
        # Another scheduler than ours may have tried a crashed cell once more.
        self.failures = [each for each in self.failures if each.cell != made.cell]
        if resumed is not None:
            self.resumed[made.cell] = resumed
        self._write_down(lambda journal: journal.add(made, again=bool(resumed)))
        return made

    def early_writer(self) -> Callable[[Record], None]:
        """Return what writes down a record whose test has yet to ask for it; it may be called from another thread."""
        # Made here: of two threads each might make a journal of its own.
        _ = self._journal
        standing = {each.cell for each in self.inputs.unfinished.records} if self.inputs.unfinished else set()

        def write(record: Record) -> None:
            self._early.add(record.cell)
            self._write_down(lambda journal: journal.add(record, again=record.cell in standing))

        return write

    def add_failure(self, failure: dict[str, Any]) -> None:
        """Take the JSON of a Failure, likewise; a cell that has its number, or failed before, stays what it is.

        Its worker may die after the number was sent, or in each of several tries.
        """
        made = Failure(**failure)
        if made.cell in self._results.told:
            self.failed_tests += made.cell not in {each.cell for each in self.failures}
            return
        self.failures.append(made)
        self._write_down(lambda journal: journal.add_failure(made))

    def _write_down(self, write: Callable[[ResultsWriter], None]) -> None:
        """Write to the journal; what goes wrong there stops no run, and is told at its end."""
        if self._journal is None:
            return
        try:
            write(self._journal)
        except Sst2Error as error:
            self._unwritten = str(error)

    @property
    def exit_status(self) -> int:
        """What the run exits with if every test passed: 0, 1 for a problem or a failed gate, 2 if incomparable."""
        if self.problems:
            return 1
        return self.comparison.exit_status(self.settings.fail_on) if self.comparison else 0

    def finish(self, *, complete: bool, sentences_of: SentencesOf, tests: Sequence[str] | None = None) -> None:
        """Write and compare what was asked for; what cannot be written is kept as a problem.

        Args:
            complete: False where the run was stopped before its last cell.
            sentences_of: What gives the sentences for the report.
            tests: What pytest was given to collect, as it was typed; None where that is not known.
        """
        datasets = {(record.dataset.name, record.dataset.revision) for record in self.records}
        if len(datasets) > 1:
            names = ", ".join(f"{name} {revision}" for name, revision in sorted(datasets))
            self.problems.append(
                f"the cells of this run were measured on different data ({names}), so they cannot be compared. "
                "Name the data with --sst2-data."
            )
        if self._journal is not None:
            self._close(self._journal, complete=complete)
        if self.inputs.unfinished is not None:
            self._tell_resumed(self.inputs.unfinished)
        if self.division is not None:
            self.notes.append(self.division.line)
        others = self.division.others if self.division else ()
        if unheard := [cell for cell in self._results.missing if cell not in others]:
            done = (
                f" ({len(written)} of them were measured and written)" if (written := self._early & {*unheard}) else ""
            )
            self.notes.append(f"{plural(len(unheard), 'cell')} had no turn{done}: {shorten(unheard)}")
        if self._measured_again:
            self.notes.append(
                f"{plural(len(self._measured_again), 'cell')} measured more than once, by several tests or a rerun; "
                f"the last stands: {shorten([*self._measured_again])}"
            )
        if self.settings.calibrate:
            self._calibrate()
        if self.inputs.baseline is not None:
            self._compare(self.inputs.baseline)
        if self.inputs.save_path is not None:
            self._save(self.inputs.save_path, complete=complete)
        # Last, so that it says what went wrong before.
        stopped = () if complete else ("the run was stopped before its last cell",)
        failed = (f"{plural(self.failed_tests, 'test')} failed by more than a floor",) if self.failed_tests else ()
        self._report(sentences_of, (*self.problems, *stopped, *failed), tests)

    def _close(self, journal: ResultsWriter, *, complete: bool) -> None:
        """Write the results file for the last time."""
        try:
            journal.close(complete=complete and not self._results.missing, without=self._strangers())
        except Sst2Error as error:
            self.problems.append(str(error))
            return
        more = journal.count - len(self.records)
        self.notes.append(
            f"{plural(len(self.records), 'record')} in {journal.path}{f', beside {more} more' if more else ''}"
        )
        if self._unwritten:
            self.notes.append(f"not every record could be written when it was finished, but now: {self._unwritten}")
        if journal.aside is not None:
            self.notes.append(f"what it held before is in {journal.aside}")

    def _strangers(self) -> list[str]:
        """Return the ids of cells in the resumed file that cannot stand in one table with those of this run."""
        ours = {_table_of(record) for record in self.records}
        told = self._results.told
        before = self.inputs.unfinished.records if self.inputs.unfinished else ()
        return [each.cell for each in before if ours and each.cell not in told and _table_of(each) not in ours]

    def _tell_resumed(self, unfinished: Results) -> None:
        """Say how many of this run's cells were taken from the file; nothing where there was none yet."""
        if not unfinished.told and not unfinished.planned:
            return
        again = Counter(self.resumed.values())
        taken = again.pop("", 0)
        mine = self.division.mine if self.division else self.planned
        total = max(len(mine), len(self._results.told))
        self.notes.append(f"{taken} of {plural(total, 'cell')} taken from {unfinished.origin}")
        self.notes += [
            f"{plural(count, 'cell')} of it measured again: {reason}" for reason, count in again.most_common()
        ]

    @property
    def _results(self) -> Results:
        return Results(self.records, self.failures, origin="this run", planned=self.planned)

    def _compare(self, baseline: Results) -> None:
        from pytest_sst2.compare.comparison import compare

        if self.division is not None:
            before = self._of_this_shard(baseline, self.division)
            if before is None:
                return
            baseline = before
        self.comparison = compare(baseline, self._results, tolerance=self.settings.tolerance, alpha=self.settings.alpha)

    def _of_this_shard(self, baseline: Results, division: Division) -> Results | None:
        """Return the baseline without what other shards compare, None where nothing of this shard's is in it."""
        kept = [record for record in baseline.records if record.cell not in division.others]
        measured = {(each.model, each.method) for each in self.records}
        failed = {(each.model, each.method) for each in self.failures}
        if len(kept) < len(baseline.records) and not (measured | failed) & {(each.model, each.method) for each in kept}:
            self.notes.append(f"baseline {baseline.origin!r} has no cell of this shard to compare with")
            return None
        # What no shard is to measure is missing in all of them, and told where they are joined.
        mine = {(each.model, each.method) for each in kept if each.cell in division.mine}
        own = [
            each
            for each in kept
            if each.cell in division.mine or (each.model, each.method) in (measured | failed) - mine
        ]
        self.notes.append(
            "compared for this shard alone: Holm's correction is over all cells, so that the whole is judged when the "
            "shards are joined: pytest-sst2 merge FILE ... -o all.json, then pytest-sst2 compare "
            f"{baseline.origin} all.json"
        )
        return replace(baseline, records=own or kept)

    def _report(self, sentences_of: SentencesOf, problems: Sequence[str], tests: Sequence[str] | None) -> None:
        folder = self.settings.report_path
        if folder is None and STEP_SUMMARY not in os.environ:
            return
        from pytest_sst2.report.summary import make_report

        measured = self._results
        report = make_report(measured, self.comparison, self.settings.fail_on, problems, tests)
        self._attempt("the job's summary", lambda: append_step_summary(report))
        if folder is not None:
            self._attempt("the report", lambda: self._write_report(folder, report, measured, sentences_of))

    def _write_report(self, folder: Path, report: Report, measured: Results, sentences_of: SentencesOf) -> None:
        from pytest_sst2.report.cells import cell_reports

        cells = cell_reports(measured, sentences_of, self.inputs.baseline, self.comparison)
        paths = write_report(folder, report, cells)
        self.notes.append(f"report in {paths[0]}, with {' and '.join(path.name for path in paths[1:])}")

    def _attempt(self, what: str, write: Callable[[], None]) -> None:
        """Write a report; whatever goes wrong with it fails the run with a sentence, and loses nothing measured."""
        try:
            write()
        except Sst2Error as error:
            self.problems.append(str(error))
        except Exception as error:
            self.problems.append(f"{what} could not be made: {type(error).__name__}: {error}")

    def _save(self, path: Path, *, complete: bool) -> None:
        """Save a baseline, unless something is missing in it: a gate would pass where it has nothing to compare."""
        if not complete or self.failures or not self.records:
            missing = f"{plural(len(self.failures), 'cell')} without a number" if self.failures else "the run stopped"
            missing = missing if self.records else "no cell was measured"
            self.problems.append(f"baseline {path.stem!r} was not saved: {missing}. What was there is unchanged.")
            return
        try:
            save_baseline(path, self.records, self.failures, overwrite=self.settings.overwrite)
        except Sst2Error as error:
            self.problems.append(str(error))
        else:
            self.notes.append(f"baseline {path.stem!r} with {plural(len(self.records), 'record')} in {path}")

    def _calibrate(self) -> None:
        today = datetime.now(UTC).date().isoformat()
        floors = []
        for key, records in _by_floor_key(self.records).items():
            by_seed = {record.seed: record.accuracy for record in records}
            if len(by_seed) < MINIMUM_SEEDS:
                self.problems.append(f"no floor for {key}: {len(by_seed)} of {MINIMUM_SEEDS} seeds were measured.")
            else:
                floors.append((key, calibrated_floor(by_seed, records[0].environment.headline, today)))
        if not floors:
            return
        try:
            lowered = write_floors(self.settings.floors_path, floors, overwrite=self.settings.overwrite)
        except Sst2Error as error:
            self.problems.append(str(error))
            return
        self.notes.append(f"{plural(len(floors) - len(lowered), 'floor')} in {self.settings.floors_path}")
        self.problems += [
            f"the floor of {low.key} stays {low.standing:.4f}: these seeds would lower it to {low.measured:.4f}. "
            "--sst2-overwrite lowers it."
            for low in lowered
        ]


def _table_of(record: Record) -> tuple[str, str, str, str]:
    """Return what all cells of one table have in common."""
    return record.dataset.name, record.dataset.revision, record.dataset.split, record.recipe_label


def _by_floor_key(records: Iterable[Record]) -> dict[FloorKey, list[Record]]:
    groups: dict[FloorKey, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.floor_key].append(record)
    return groups
