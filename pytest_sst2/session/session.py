"""Session: writes, saves, compares and reports the records of a run at its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.config.against import AGAINST_OPTION, PAIR_FAIL_ON
from pytest_sst2.config.compare_command import compare_command
from pytest_sst2.report.write import STEP_SUMMARY, append_step_summary, write_report
from pytest_sst2.results.baselines import not_saved, save_baseline
from pytest_sst2.results.calibration import calibrate_floors
from pytest_sst2.results.file import Results
from pytest_sst2.results.resume import resume_notes
from pytest_sst2.session.auto_seeds import skipped_note
from pytest_sst2.session.gathered import Gathered
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten
from pytest_sst2.utils.unexpected import UNEXPECTED, unexpected

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.compare.within_run import WithinRun
    from pytest_sst2.data.sentence_lookup import SentencesOf
    from pytest_sst2.report.summary import Report


class Session:
    """The end of one run: what was gathered is written, saved, compared and reported.

    Attributes:
        gathered: The records and failures of the run.
        notes: Lines below the table, such as the files written.
        problems: Lines about what fails the run although no test failed.
        comparison: The comparison with the baseline; None without one.
        within: The comparison of cells of this run with one another; None without one.
        not_collected: Files that could not be collected, in a run that went on without them.
    """

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.settings, self.inputs = gathered.settings, gathered.inputs
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.comparison: Comparison | None = None
        self.within: WithinRun | None = None
        self.not_collected: Sequence[str] = ()
        self._stopped = False
        self._is_broken = False

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
        complete = not self.gathered.add_lost_cells(complete=complete) and complete
        # What was measured is written first. Nothing that fails afterwards loses it.
        self._attempt("the results file", lambda: self._close(complete=complete))
        self._attempt("the summary", self._add_notes)
        self._attempt("the baseline", self._save)
        self._check_one_dataset()
        self._attempt("the floors", self._calibrate)
        self._attempt("the comparison", self._compare)
        self._attempt("the comparison within the run", self._compare_within)
        if passed and self.gathered.failures and self.gathered.keeps_results and self.exit_status == 0:
            self.problems.append(self._without_number)

    def _close(self, *, complete: bool) -> None:
        self.notes += self.gathered.close(complete=complete)

    @property
    def _without_number(self) -> str:
        cells = shorten([failure.cell for failure in self.gathered.failures])
        return (
            f"{plural(len(self.gathered.failures), 'cell')} without a number although no test failed: {cells}. "
            "To leave a cell out on purpose, do not select its test: -k, -m, or a path."
        )

    def _check_one_dataset(self) -> None:
        datasets = {(record.dataset.name, record.dataset.revision) for record in self.gathered.records}
        if len(datasets) > 1:
            names = ", ".join(f"{name} {revision}" for name, revision in sorted(datasets))
            self.problems.append(
                f"the cells of this run were measured on different data ({names}), so they cannot be compared. "
                "Name the data with --sst2-data."
            )

    def _add_notes(self) -> None:
        """Add the notes about cells that were taken from a file, left to other shards, not run, or run again."""
        results, division = self.gathered.results, self.gathered.division
        if self.inputs.unfinished is not None:
            mine = division.mine if division else self.gathered.planned
            total = max(len(mine), len(results.finished))
            self.notes += resume_notes(self.inputs.unfinished, self.gathered.resumed, total)
        if division is not None:
            self.notes.append(division.line)
        others = division.others if division else ()
        if not_run := [cell for cell in results.missing if cell not in others]:
            early = self.gathered.early & {*not_run}
            written = f" ({len(early)} of them were measured and written)" if early else ""
            self.notes.append(f"{plural(len(not_run), 'cell')} did not run{written}: {shorten(not_run)}")
        if results.skipped:
            self.notes.append(skipped_note(results.skipped))
        if again := [*self.gathered.measured_again]:
            self.notes.append(
                f"{plural(len(again), 'cell')} measured more than once, by several tests or a rerun; the last record "
                f"wins: {shorten(again)}"
            )

    def _calibrate(self) -> None:
        if self.settings.calibrate_floors:
            floors = calibrate_floors(
                self.gathered.records, self.settings.floors_path, overwrite=self.settings.overwrite
            )
            self.notes += floors.notes
            self.problems += floors.problems

    def _compare(self) -> None:
        before = baseline = self.inputs.baseline
        if baseline is None:
            return
        if self.gathered.division is not None:
            from pytest_sst2.session.shard import baseline_of_shard

            before, note = baseline_of_shard(baseline, self.gathered.results, self.gathered.division)
            self.notes.append(note)
        if before is not None:
            self._compare_with(before)

    def _compare_with(self, before: Results) -> None:
        from pytest_sst2.compare.comparison import compare

        settings = self.settings
        comparison = compare(
            before, self.gathered.results, tolerance=settings.tolerance, alpha=settings.alpha, declared=settings.changed
        )
        if comparison.to_declare and settings.results_path is not None:
            # What was measured need not be measured again.
            command = self._compare_command(str(settings.compare), str(settings.results_path), fail_on=settings.fail_on)
            comparison = replace(comparison, to_declare=f"{command} {comparison.to_declare}")
        self.comparison = comparison

    def _compare_command(self, *words: str, fail_on: Collection[str] | None) -> str:
        return compare_command(*words, tolerance=self.settings.tolerance, alpha=self.settings.alpha, fail_on=fail_on)

    def _compare_within(self) -> None:
        """Compare cells of this run with one another; a shard has some of them only."""
        settings = self.settings
        if not settings.against:
            return
        if self.gathered.division is not None:
            failing = [word for word in settings.fail_on if word in PAIR_FAIL_ON] if settings.against_gates else None
            command = self._compare_command("FILE", "--pair", ",".join(settings.against), fail_on=failing)
            self.notes.append(f"{AGAINST_OPTION}: after the merge of the shards, {command}")
            return
        from pytest_sst2.compare.within_run import compare_within

        self.within = compare_within(
            self.gathered.results,
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
        if self._stopped and not self.gathered.failures:
            raise not_saved(path, "the run stopped")
        if self.not_collected:
            raise not_saved(path, f"{shorten(self.not_collected)} could not be collected, and may have benchmarks")
        planned = [cell for cell, *_ in (*self.gathered.plan.selected, *self.gathered.plan.left_out)]
        results = replace(self.gathered.results, planned=planned)
        settings = self.settings
        self.notes.append(save_baseline(path, results, overwrite=settings.overwrite, drop=settings.drop_cells))

    def report(self, sentences_of: SentencesOf, tests: Sequence[str] | None = None) -> list[str]:
        """Write the reports, after everything else was written and printed; return lines about what was written.

        ``tests`` are the arguments of pytest that name tests, as typed; None if unknown. An error becomes a problem of
        the run.
        """
        folder = self.settings.report_path
        if folder is None and STEP_SUMMARY not in os.environ:
            return []
        printed = len(self.notes), len(self.problems)
        self._attempt("the report", lambda: self._write_reports(folder, sentences_of, tests))
        return [*self.notes[printed[0] :], *(f"ERROR: {problem}" for problem in self.problems[printed[1] :])]

    def _write_reports(self, folder: Path | None, sentences_of: SentencesOf, tests: Sequence[str] | None) -> None:
        from pytest_sst2.report.summary import make_report

        results = self.gathered.results
        report = make_report(results, self.comparison, self.settings.fail_on, self._all_problems, tests, self.within)
        self._attempt("the job summary", lambda: append_step_summary(report))
        if folder is not None:
            self._write_report(folder, report, results, sentences_of)

    def opening(self) -> tuple[str, str]:
        """Return the headline of the run, which floors and failures decide too, and what it means."""
        from pytest_sst2.compare.run_outcome import run_outcome
        from pytest_sst2.report.run_headline import run_advice, run_headline

        results, comparison, fail_on = self.gathered.results, self.comparison, self.settings.fail_on
        outcome = run_outcome(results, comparison, fail_on, self._all_problems)
        return run_headline(outcome, results, comparison, fail_on), run_advice(outcome, comparison, fail_on)

    @property
    def _all_problems(self) -> tuple[str, ...]:
        stopped = ("the run was stopped before its last cell",) if self._stopped else ()
        failed = (
            (f"{plural(self.gathered.failed_tests, 'test')} failed by more than a floor",)
            if self.gathered.failed_tests
            else ()
        )
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
