"""Session: gathers the Records of a run on the controller, and at its end writes results and floors."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.baselines import save_baseline
from pytest_sst2.errors import Sst2Error
from pytest_sst2.files import write_atomically
from pytest_sst2.floors import MINIMUM_SEEDS, FloorKey, calibrated_floor, write_floors
from pytest_sst2.records import Failure, Record, record_from_json
from pytest_sst2.report.files import STEP_SUMMARY, append_step_summary, write_report
from pytest_sst2.report.wording import counted
from pytest_sst2.results_file import Results, results_text

if TYPE_CHECKING:
    from pytest_sst2.comparison import Comparison
    from pytest_sst2.report.contents import Report
    from pytest_sst2.sentences import SentencesOf
    from pytest_sst2.settings import Settings


class Session:
    """What one run measured.

    Attributes:
        records: One a measured cell, whether it reached its floor or not.
        failures: One a cell without a number.
        notes: What the reader is told below the table: files written, cells that could not be calibrated.
        problems: The same for what must fail the run although no test failed.
        comparison: What the comparison with the baseline found; None where none was asked for.
        failed_tests: Tests that failed although their cell has a number and reaches its floor.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.records: list[Record] = []
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.comparison: Comparison | None = None
        self.failed_tests = 0

    def add(self, record: dict[str, Any]) -> None:
        """Take the JSON of a Record, as it travels in a test report."""
        self.records.append(record_from_json(record))

    def add_failure(self, failure: dict[str, Any]) -> None:
        """Take the JSON of a Failure."""
        self.failures.append(Failure(**failure))

    @property
    def exit_status(self) -> int:
        """What the run exits with if every test passed: 0, 1 for a problem or a failed gate, 2 if incomparable."""
        if self.problems:
            return 1
        return self.comparison.exit_status(self.settings.fail_on) if self.comparison else 0

    def finish(self, *, complete: bool, sentences_of: SentencesOf) -> None:
        """Write and compare what was asked for; what cannot be written is kept as a problem.

        Args:
            complete: False where the run was stopped before its last cell.
            sentences_of: What gives the sentences for the report.
        """
        datasets = {(record.dataset.name, record.dataset.revision) for record in self.records}
        if len(datasets) > 1:
            names = ", ".join(f"{name} {revision}" for name, revision in sorted(datasets))
            self.problems.append(
                f"the cells of this run were measured on different data ({names}), so they cannot be compared. "
                "Name the data with --sst2-data."
            )
        if self.settings.json_path is not None:
            self._write(self.settings.json_path)
        if self.settings.calibrate:
            self._calibrate()
        if self.settings.baseline is not None:
            self._compare(self.settings.baseline)
        if self.settings.save_path is not None:
            self._save(self.settings.save_path, complete=complete)
        # Last, so that it says what went wrong before.
        stopped = () if complete else ("the run was stopped before its last cell",)
        failed = (f"{counted(self.failed_tests, 'test')} failed by more than a floor",) if self.failed_tests else ()
        self._report(sentences_of, (*self.problems, *stopped, *failed))

    def _write(self, path: Path) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            write_atomically(path, results_text(self.records, self.failures, saved=now))
        except Sst2Error as error:
            self.problems.append(str(error))
        else:
            self.notes.append(f"{counted(len(self.records), 'record')} in {path}")

    def _compare(self, baseline: Results) -> None:
        from pytest_sst2.comparison import compare

        measured = Results(self.records, self.failures, origin="this run")
        self.comparison = compare(baseline, measured, tolerance=self.settings.tolerance, alpha=self.settings.alpha)

    def _report(self, sentences_of: SentencesOf, problems: Sequence[str]) -> None:
        folder = self.settings.report_path
        if folder is None and STEP_SUMMARY not in os.environ:
            return
        from pytest_sst2.report.contents import make_report

        measured = Results(self.records, self.failures, origin="this run")
        report = make_report(measured, self.comparison, self.settings.fail_on, problems)
        self._attempt("the job's summary", lambda: append_step_summary(report))
        if folder is not None:
            self._attempt("the report", lambda: self._write_report(folder, report, measured, sentences_of))

    def _write_report(self, folder: Path, report: Report, measured: Results, sentences_of: SentencesOf) -> None:
        from pytest_sst2.report.cells import cell_reports

        cells = cell_reports(measured, sentences_of, self.settings.baseline, self.comparison)
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
            missing = f"{counted(len(self.failures), 'cell')} without a number" if self.failures else "the run stopped"
            missing = missing if self.records else "no cell was measured"
            self.problems.append(f"baseline {path.stem!r} was not saved: {missing}. What was there is unchanged.")
            return
        try:
            save_baseline(path, self.records, self.failures, overwrite=self.settings.overwrite)
        except Sst2Error as error:
            self.problems.append(str(error))
        else:
            self.notes.append(f"baseline {path.stem!r} with {counted(len(self.records), 'record')} in {path}")

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
        self.notes.append(f"{counted(len(floors) - len(lowered), 'floor')} in {self.settings.floors_path}")
        self.problems += [
            f"the floor of {low.key} stays {low.standing:.4f}: these seeds would lower it to {low.measured:.4f}. "
            "--sst2-overwrite lowers it."
            for low in lowered
        ]


def _by_floor_key(records: Iterable[Record]) -> dict[FloorKey, list[Record]]:
    groups: dict[FloorKey, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.floor_key].append(record)
    return groups
