"""Check an upgrade by benchmarks: measure both environments, compare them, and look for the cause of a difference."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.comparison import CANNOT_COMPARE, Comparison, compare
from pytest_sst2.report.comparison_text import comparison_lines
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.ab_run import Measurements, Notify, Sides, exclusive_run, measure_sides, run_folder
from pytest_sst2.upgrade.auto_seeds import measure_until_decided
from pytest_sst2.upgrade.benchmark_observer import BenchmarkObserver
from pytest_sst2.upgrade.benchmark_runs import Plan, failure_summary
from pytest_sst2.upgrade.cause_search import CauseSearch
from pytest_sst2.upgrade.reading_list import READING_LIST, reading_list
from pytest_sst2.upgrade.symptom import Symptom, worst_symptom
from pytest_sst2.upgrade.timed_turns import TimeLimits, measure_times
from pytest_sst2.utils.sanitize import one_line

# Passes in each environment. With --sst2-seeds auto or --time it is one, because further seeds or turns follow.
_PASSES = 2
# Seconds that --time may spend without --budget.
_BUDGET = 600.0


def check_benchmarks(
    options: argparse.Namespace, plan: Plan, search: CauseSearch, parent: Path, width: int | None
) -> tuple[str, int]:
    """Run the benchmarks in both environments; return the comparison or the cause, and the exit status.

    Results are kept in a folder below ``parent``. ``width`` is the number of columns of the terminal.

    Raises:
        Sst2Error: The benchmarks do not run in the earlier environment, or the same check is running.
    """
    if options.passes is None:
        options.passes = 1 if plan.has_auto_seeds or options.time else _PASSES
    kept = run_folder(parent, search.sides, plan, options.passes)
    with exclusive_run(kept):
        measurements = _measure(options, search.sides, plan, kept, search.notify)
        if limits := _time_limits(options):
            measurements = measure_times(search.sides, plan, measurements, limits, kept / "times", search.notify)
        return _Finding(options, plan, search, measurements, width).report()


def _measure(options: argparse.Namespace, sides: Sides, plan: Plan, folder: Path, notify: Notify) -> Measurements:
    if not plan.has_auto_seeds:
        return measure_sides(sides, plan, options.passes, folder, notify)
    limits = {"tolerance": options.tolerance, "alpha": options.alpha}
    return measure_until_decided(sides, plan, options.passes, folder, notify, **limits)


def _time_limits(options: argparse.Namespace) -> TimeLimits | None:
    return TimeLimits(options.time, options.budget or _BUDGET) if options.time else None


@dataclass(frozen=True)
class _Finding:
    """The measurements of both environments, and what is needed to compare and bisect them."""

    options: argparse.Namespace
    plan: Plan
    search: CauseSearch
    measurements: Measurements
    width: int | None

    def report(self) -> tuple[str, int]:
        """Return the comparison, or after a bisection the cause, and the exit status."""
        after = self.measurements.after
        if after is None:
            error = self.measurements.after_error
            lines, status = [f"FAILS: the 'after' environment failed: {error}"], CANNOT_COMPARE
            symptom: Symptom | None = Symptom("crash", None, error, ())
        else:
            lines, status, symptom = self._compare(after)
        if self.options.bisect and symptom is None:
            lines += ["", "nothing to bisect: no cell crashed, regressed, drifted, became slower or needs more memory"]
        if self.options.bisect and symptom is not None:
            self._print([*lines, ""])
            lines = self._bisect(symptom)
        return "\n".join(map(one_line, lines)), status

    def _print(self, lines: Sequence[str]) -> None:
        """Print lines before longer work, so that nothing is lost if it is interrupted."""
        for line in lines:
            self.search.notify(line)

    def _compare(self, after: Results) -> tuple[list[str], int, Symptom | None]:
        before = self.measurements.before
        comparison = compare(
            before,
            after,
            tolerance=self.options.tolerance,
            alpha=self.options.alpha,
            time_tolerance=self.options.time or SPEED_TOLERANCE,
        )
        lines = comparison_lines(comparison, self.options.fail_on, self.width)
        if failed := failure_summary(before):
            lines.append(f"note: failed in the earlier environment too: {failed}")
        symptom = worst_symptom(before, after, comparison)
        to_read: list[str] = []
        if symptom is not None and self.search.sides.changes:
            self._print([*lines, ""])
            lines = to_read = self._reading_list(symptom, comparison)
        if self.options.output:
            lines = [*lines, "", *map(str, self._write_report(before, after, comparison, to_read))]
        return lines, comparison.exit_status(self.options.fail_on), symptom

    def _reading_list(self, symptom: Symptom, comparison: Comparison) -> list[str]:
        folder = self.measurements.folder / "trace"
        kept = self.options.output or folder
        try:
            found = reading_list(self.search.sides, self.plan, symptom, comparison, folder, self.search.notify)
            found.write(kept)
        except Exception as error:  # the list may not end a run that has a finding
            return [f"note: no list of the functions that changed and ran: {error}"]
        return [*found.lines(), f"the whole list: {kept / READING_LIST}"]

    def _write_report(
        self, before: Results, after: Results, comparison: Comparison, to_read: Sequence[str]
    ) -> Sequence[Path]:
        from pytest_sst2.compare.cell_analysis import analyse_cells
        from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
        from pytest_sst2.report.summary import make_report
        from pytest_sst2.report.write import write_report

        data = next((flag.partition("=")[2] for flag in self.plan.flags if flag.startswith("--sst2-data=")), "")
        folder = Path(data) if data and Path(data).is_dir() else None
        cells = analyse_cells(after, SentenceLookup(local_sources(folder)), before, comparison)
        report = replace(make_report(after, comparison, self.options.fail_on), to_read=tuple(to_read))
        return write_report(self.options.output, report, cells)

    def _bisect(self, symptom: Symptom) -> list[str]:
        observer = BenchmarkObserver(
            sides=self.search.sides,
            found=symptom,
            plan=self.plan,
            passes=self.options.passes,
            tolerance=self.options.tolerance,
            alpha=self.options.alpha,
            folder=self.measurements.folder / "bisect",
            notify=self.search.notify,
            times=_time_limits(self.options),
        )
        return self.search.lines(observer)
