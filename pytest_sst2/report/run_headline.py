"""The first two lines of the report of a run, which floors, failures and problems decide too."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.run_outcome import RunOutcome, comparison_outcome
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.report import within_run_text
from pytest_sst2.report.headline import ADVICE, MOST_CAUSE_CHARACTERS, MOST_NAMES, comparison_advice, decisive, meaning
from pytest_sst2.report.results_table import Row, cell_rows
from pytest_sst2.results.file import Results
from pytest_sst2.utils.formatting import leading_clauses, plural, shorten


def run_headline(
    run: RunOutcome,
    results: Results,
    comparison: Comparison | None,
    fail_on: Collection[str],
    within: WithinRun | None = None,
) -> str:
    """Return the outcome of a run in one sentence: what failed, then the cell that decides it.

    Without a baseline, it is the answer of the comparison ``within`` the run, or how many cells have a floor.
    """
    cannot = comparison.flagged("incomparable") if comparison and run.outcome == "CANNOT COMPARE" else ()
    parts = list(_trouble(run, results, {cell.name for cell in cannot}))
    if comparison is not None:
        parts.append(decisive(comparison, comparison_outcome(comparison, fail_on), fail_on))
    elif not parts:
        parts.append(within_run_text.headline(within) if within and within.cells else _floors(run))
    return f"{run.outcome}: {'; '.join(parts)}"


def run_advice(
    run: RunOutcome, comparison: Comparison | None, fail_on: Collection[str], within: WithinRun | None = None
) -> str:
    """Return the meaning of a run's outcome for a reader; empty if there is nothing to add."""
    if run.has_trouble:
        troubles = _troubles(run)
        clauses = meaning(comparison, fail_on, *troubles) if comparison else "; ".join(troubles)
        return f"{ADVICE['FAILS']}: {clauses}."
    if comparison is not None:
        return comparison_advice(comparison, fail_on)
    if within and within.cells:
        return f"{_floors(run)}."
    if run.outcome == "NOTHING MEASURED":
        return ""
    return "No baseline was compared: --sst2-save NAME saves a run, --sst2-compare NAME compares a later run with it."


def _trouble(run: RunOutcome, results: Results, named: Collection[str]) -> Iterator[str]:
    """Yield the cells below their floors, the cells without a number unless they are ``named``, and the problems."""
    rows = cell_rows(results.records, results.failures)
    low = [row for row in rows if any(not record.reaches_floor for record in row.records)]
    if low:
        yield f"below {'its' if len(low) == 1 else 'their'} floor: {shorten([_below(row) for row in low], MOST_NAMES)}"
    if failed := [row for row in rows if row.failures and row.name not in named]:
        yield f"no number: {shorten([row.name for row in failed], MOST_NAMES)}"
    if run.problems:
        more = f"; and {plural(len(run.problems) - 1, 'more problem')}" if len(run.problems) > 1 else ""
        yield f"{leading_clauses(run.problems[0].rstrip('.'), MOST_CAUSE_CHARACTERS)}{more}"


def _troubles(run: RunOutcome) -> Iterator[str]:
    """Yield how many cells miss their floor or have no number, and how many problems the run had."""
    if run.below_floor:
        yield f"{plural(run.below_floor, 'cell')} {'misses its floor' if run.below_floor == 1 else 'miss their floors'}"
    if run.failures:
        yield f"{plural(run.failures, 'cell')} {'has' if run.failures == 1 else 'have'} no number"
    if run.problems:
        yield f"the run had {plural(len(run.problems), 'problem')}"


def _below(row: Row) -> str:
    worst = min((record for record in row.records if not record.reaches_floor), key=lambda record: record.accuracy)
    seed = f" (seed {worst.seed})" if len(row.records) > 1 else ""
    floor = worst.floor.accuracy if worst.floor else 0.0
    return f"{row.name} {worst.accuracy:.4f} instead of {floor:.4f}{seed}"


def _floors(run: RunOutcome) -> str:
    if run.outcome == "NOTHING MEASURED":
        return "no cell has a number"
    if run.reach_floor == run.cells:
        return f"{plural(run.cells, 'cell')}, {'each reaches' if run.cells > 1 else 'it reaches'} its floor"
    if not run.reach_floor:
        return f"{plural(run.cells, 'cell')}, no floor to reach"
    return f"{plural(run.cells, 'cell')}, {run.reach_floor} of them with a floor to reach"
