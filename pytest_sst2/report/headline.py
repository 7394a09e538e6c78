"""The first two lines of every report: the headline, and what it means for a reader who wants to merge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.run_outcome import RunOutcome, comparison_outcome
from pytest_sst2.report.results_table import Row, cell_rows
from pytest_sst2.results.file import Results
from pytest_sst2.utils.formatting import plural, shorten, signed_points, truncate

_MOST_NAMES = 3
_MOST_CAUSE_CHARACTERS = 200
# The flags of time and memory, what grows, and what one cell or several do.
_RESOURCES = (
    ("slower", "time", "is slower", "are slower"),
    ("more-memory", "memory", "needs more memory", "need more memory"),
)
_ADVICE = {
    "HOLDS": "You may merge",
    "UNDECIDED": "Merge only if you can afford to lose",
    "FAILS": "Do not merge yet",
    "CANNOT COMPARE": "Nothing is known about this change",
}


def comparison_headline(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the outcome of a comparison in one sentence: its word, and the cell that decides it."""
    word = comparison_outcome(comparison, fail_on)
    return f"{word}: {_decisive(comparison, word, fail_on)}"


def comparison_advice(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return what the outcome means for a reader, and for an undecided one what would decide it."""
    word = comparison_outcome(comparison, fail_on)
    advice = _ADVICE[word]
    if word == "UNDECIDED":
        worst = min(cell.accuracy.at_worst for cell in comparison.flagged("undecided") if cell.accuracy)
        advice = f"{advice} {points(round(-worst, 3))}"
    resources = [name for flag, name, _, _ in _RESOURCES if comparison.flagged(flag)]
    if "time" not in resources and _times_undecided(comparison, fail_on):
        resources = ["time", *resources]
    if word == "HOLDS" and resources:
        advice = f"{advice} if {' and '.join(resources)} may grow"
    return f"{advice}: {'; '.join(_meanings(comparison, word, fail_on))}."


def run_headline(run: RunOutcome, results: Results, comparison: Comparison | None, fail_on: Collection[str]) -> str:
    """Return the outcome of a run in one sentence: missed floors and failures, then the cell that decides it."""
    parts = list(_trouble(run, results))
    if comparison is not None:
        parts.append(_decisive(comparison, comparison_outcome(comparison, fail_on), fail_on))
    elif not parts:
        parts.append(_floors(run))
    return f"{run.outcome}: {'; '.join(parts)}"


def run_advice(run: RunOutcome, comparison: Comparison | None, fail_on: Collection[str]) -> str:
    """Return what the outcome of a run means for a reader; empty if there is nothing to add."""
    meanings = (
        list(_meanings(comparison, comparison_outcome(comparison, fail_on), fail_on)) if comparison is not None else []
    )
    if run.has_trouble:
        return f"{_ADVICE['FAILS']}: {'; '.join([*_troubles(run), *meanings])}."
    if comparison is not None:
        return comparison_advice(comparison, fail_on)
    if run.outcome == "NOTHING MEASURED":
        return ""
    return "No baseline was compared: --sst2-save NAME saves a run, --sst2-compare NAME compares a later run with it."


def points(fraction: float) -> str:
    """Return ``1 point`` or ``0.5 points``."""
    return f"{100 * fraction:g} point{'' if fraction == 0.01 else 's'}"


def _decisive(comparison: Comparison, word: str, fail_on: Collection[str]) -> str:
    """Return the cell that decides the outcome, with its numbers and its cause."""
    if not comparison.cells:
        return "the two have no cell in common"
    if word == "HOLDS":
        return _all_hold(comparison.cells)
    if word == "CANNOT COMPARE":
        cells: Sequence[CellComparison] = comparison.flagged("incomparable")
    elif word == "UNDECIDED":
        cells = _by_loss(comparison.flagged("undecided"))
    else:
        regressed = _by_loss(comparison.flagged("regressed"))
        cells = [
            *regressed,
            *(cell for cell in comparison.cells if cell not in regressed and cell.flags & set(fail_on)),
        ]
    if not cells:
        return _not_run_names(comparison)
    more = f"; and {plural(len(cells) - 1, 'more cell')}" if len(cells) > 1 else ""
    first = _other_failure(cells[0], fail_on) if word == "FAILS" else ""
    return f"{first or _cell_sentence(cells[0])}{more}"


def _other_failure(cell: CellComparison, fail_on: Collection[str]) -> str:
    """Return why a cell fails if not by its accuracy, in a clause; empty if by its accuracy."""
    failing, resources = cell.flags & {*fail_on}, cell.speed_and_memory
    if cell.flags & {"regressed"} or failing & {"undecided", "incomparable"}:
        return ""
    reasons = []
    if resources and "slower" in failing:
        ratio = max(time.ratio for time in resources.times if time.speed == "slower")
        reasons.append(f"takes {ratio:.3g} × as long")
    if resources and resources.memory and "more-memory" in failing:
        reasons.append(f"needs {resources.memory.ratio:.3g} × the memory")
    if "drifted" in failing:
        reasons.append(f"drifted: {truncate(_causes(cell)[0], _MOST_CAUSE_CHARACTERS)}")
    return f"{cell.name} {' and '.join(reasons)}" if reasons else ""


def _by_loss(cells: Sequence[CellComparison]) -> list[CellComparison]:
    """Return the cells: drops with a cause first, then by what was lost at worst."""

    def rank(cell: CellComparison) -> tuple[bool, float]:
        change = cell.accuracy
        return not (change and change.delta < 0 and _causes(cell)), change.at_worst if change else 0

    return sorted(cells, key=rank)


def _cell_sentence(cell: CellComparison) -> str:
    change = cell.accuracy
    if change is None:
        return f"{cell.name}: {truncate(cell.reasons[0], _MOST_CAUSE_CHARACTERS)}"
    text = f"{cell.name} {signed_points(change.delta)} points (at worst {signed_points(change.at_worst, 1)})"
    reasons = [*(failed.sentence for failed in cell.failed_seeds), *_causes(cell)]
    return f"{text}: {truncate(reasons[0], _MOST_CAUSE_CHARACTERS)}" if reasons else text


def _causes(cell: CellComparison) -> list[str]:
    return [cause.sentence for cause in cell.causes if not cause.is_note]


def _all_hold(cells: Sequence[CellComparison]) -> str:
    compared = [cell for cell in cells if cell.accuracy is not None]
    changed = [cell for cell in compared if cell.verdict != "identical"]
    of_all = _all(compared)
    if not changed:
        return f"{of_all} answered every sentence as before"
    worst = min(changed, key=lambda cell: cell.accuracy.at_worst if cell.accuracy else 0)
    assert worst.accuracy is not None  # noqa: S101 - compared cells have one
    improved = [cell for cell in changed if cell.verdict == "improved"]
    if len(improved) == len(compared) == 1:
        return f"{_cell_sentence(worst)}, improved"
    if len(improved) == len(compared):
        return f"{of_all} improved, at worst {signed_points(worst.accuracy.at_worst)} points ({worst.name})"
    better = f", {len(improved)} improved" if improved else ""
    lost = signed_points(min(worst.accuracy.at_worst, 0.0))
    of_worst = f" ({worst.name})" if len(compared) > 1 else ""
    limit = signed_points(-worst.tolerance)
    return f"{of_all} kept the accuracy{better}, at worst {lost} points{of_worst}; {limit} may be lost"


def _meanings(comparison: Comparison, word: str, fail_on: Collection[str]) -> Iterator[str]:
    """Yield what the outcome means, and everything else that a reader should know before merging."""
    cells, limit = comparison.cells, points(comparison.tolerance)
    regressed, undecided = comparison.flagged("regressed"), comparison.flagged("undecided")
    if failed := [cell for cell in regressed if cell.failed_seeds]:
        yield f"{_of(failed, cells)} {'has a seed' if len(failed) == 1 else 'have seeds'} far below the others"
    if worse := [cell for cell in regressed if not cell.failed_seeds]:
        yield f"{_of(worse, cells)} got worse beyond chance, by more than the {limit} that may be lost"
    if undecided:
        lost = f"lost more than {limit} or not"
        yield f"the data cannot tell whether {_of(undecided, cells)} {lost}{_what_decides(undecided)}"
    incomparable = comparison.flagged("incomparable")
    if word == "HOLDS":
        yield f"no {'compared ' if incomparable else ''}cell lost more than {limit} of accuracy"
    if incomparable:
        yield f"{_of(incomparable, cells)} cannot be compared"
    if "drifted" in fail_on and (drifted := comparison.flagged("drifted")):
        yield f"{_of(drifted, cells)} drifted"
    for flag, _, one, several in _RESOURCES:
        if flagged := comparison.flagged(flag):
            yield f"{_of(flagged, cells)} {one if len(flagged) == 1 else several}"
    if unclear := _times_undecided(comparison, fail_on):
        again = f". This times both again: {comparison.timing_command}" if comparison.timing_command else ""
        are = "is" if len(unclear) == 1 else "are"
        yield f"the data cannot tell whether {_of(unclear, cells)} {are} slower{again}"
    yield from _not_run(comparison)
    if not cells and not comparison.to_declare:
        yield "the baseline and this run measured different models, methods or seeds"
    if comparison.to_declare:
        yield f"if that changed on purpose, compare across it: {comparison.to_declare}"


def _of(some: Sequence[CellComparison], cells: Sequence[CellComparison]) -> str:
    if len(cells) == 1:
        return some[0].name
    return _all(cells) if len(some) == len(cells) else f"{len(some)} of {len(cells)} cells"


def _all(cells: Sequence[CellComparison]) -> str:
    return {1: cells[0].name, 2: "both cells"}.get(len(cells), f"all {len(cells)} cells")


def _what_decides(undecided: Sequence[CellComparison]) -> str:
    ways = list(dict.fromkeys(cell.would_decide for cell in undecided if cell.would_decide))
    if not ways:
        return ""
    more = f" (for {undecided[0].name}; the findings have the others)" if len(ways) > 1 else ""
    return f". This would decide it: {ways[0]}{more}"


def _not_run_names(comparison: Comparison) -> str:
    """Return the cells and seeds of the baseline that were not run, in a clause."""
    of_seeds = comparison.seeds_only_before.items()
    seeds = [
        f"{name} with seed{'s' if len(of_cell) > 1 else ''} {shorten([*map(str, of_cell)])}"
        for name, of_cell in of_seeds
    ]
    names = [*comparison.only_before, *seeds]
    was, has = ("was", "has it") if len(names) == 1 else ("were", "has them")
    return f"{shorten(names, _MOST_NAMES)} {was} not run, and the baseline {has}"


def _times_undecided(comparison: Comparison, fail_on: Collection[str]) -> list[CellComparison]:
    """Return the cells whose time is undecided, if a slower one was to fail the comparison."""
    times = [(cell, cell.speed_and_memory) for cell in comparison.cells if "slower" in {*fail_on} - cell.flags]
    return [cell for cell, change in times if change and change.overall and change.overall.speed == "undecided"]


def _not_run(comparison: Comparison) -> Iterator[str]:
    seeds = sum(map(len, comparison.seeds_only_before.values()))
    for missing, noun in ((len(comparison.only_before), "cell"), (seeds, "seed")):
        if missing:
            yield f"{plural(missing, noun)} of the baseline {'was' if missing == 1 else 'were'} not run"


def _trouble(run: RunOutcome, results: Results) -> Iterator[str]:
    """Yield the cells below their floors, the cells without a number, and the number of problems."""
    rows = cell_rows(results.records, results.failures)
    low = [row for row in rows if any(not record.reaches_floor for record in row.records)]
    if low:
        yield f"below {'its' if len(low) == 1 else 'their'} floor: {shorten([_below(row) for row in low], _MOST_NAMES)}"
    if failed := [row for row in rows if row.failures]:
        yield f"no number: {shorten([row.name for row in failed], _MOST_NAMES)}"
    if run.problems:
        yield f"{plural(run.problems, 'problem')} with the run"


def _troubles(run: RunOutcome) -> Iterator[str]:
    """Yield how many cells miss their floor or have no number, and how many problems the run had."""
    if run.below_floor:
        yield f"{plural(run.below_floor, 'cell')} {'misses its floor' if run.below_floor == 1 else 'miss their floors'}"
    if run.failures:
        yield f"{plural(run.failures, 'cell')} {'has' if run.failures == 1 else 'have'} no number"
    if run.problems:
        yield f"the run had {plural(run.problems, 'problem')}"


def _below(row: Row) -> str:
    worst = min((record for record in row.records if not record.reaches_floor), key=lambda record: record.accuracy)
    seed = f" (seed {worst.seed})" if len(row.records) > 1 else ""
    floor = worst.floor.accuracy if worst.floor else 0.0
    return f"{row.name} {worst.accuracy:.4f} instead of {floor:.4f}{seed}"


def _floors(run: RunOutcome) -> str:
    if run.outcome == "NOTHING MEASURED":
        return "no cell has a number"
    if run.outcome == "PASSES":
        return f"{plural(run.cells, 'cell')}, {'each reaches' if run.cells > 1 else 'it reaches'} its floor"
    if not run.reach_floor:
        return f"{plural(run.cells, 'cell')}, no floor to reach"
    return f"{plural(run.cells, 'cell')}, {run.reach_floor} of them with a floor to reach"
