"""The first two lines of a comparison: the headline, and what it means for a reader who wants to merge."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.run_outcome import comparison_outcome
from pytest_sst2.compare.single_seeds import LEAST_DROP
from pytest_sst2.utils.formatting import leading_clauses, plural, points_text, shorten, signed_points

# Names in a headline.
MOST_NAMES = 3
MOST_CAUSE_CHARACTERS = 160
# The flags of time and memory, what grows, and what one cell or several do.
_RESOURCES = (
    ("slower", "time", "is slower", "are slower"),
    ("more-memory", "memory", "needs more memory", "need more memory"),
)
ADVICE = {
    "HOLDS": "You may merge",
    "UNDECIDED": "Merge only if you can afford to lose",
    "FAILS": "Do not merge yet",
    "CANNOT COMPARE": "Nothing is known about this change",
}


def comparison_headline(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the outcome of a comparison in one sentence: its word, and the cell that decides it."""
    word = comparison_outcome(comparison, fail_on)
    return f"{word}: {decisive(comparison, word, fail_on)}"


def comparison_advice(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the meaning of the outcome for a reader; of an undecided one also what would decide it."""
    word = comparison_outcome(comparison, fail_on)
    advice = ADVICE[word]
    if word == "UNDECIDED":
        worst = min(cell.accuracy.at_worst for cell in comparison.flagged("undecided") if cell.accuracy)
        advice = f"{advice} {points_text(round(-worst, 3))}"
    if word == "HOLDS" and (conditions := _conditions(comparison, fail_on)):
        advice = f"{advice} if {' and '.join(conditions)}"
    return f"{advice}: {meaning(comparison, fail_on)}."


def meaning(comparison: Comparison, fail_on: Collection[str], *before: str) -> str:
    """Return the meaning of a comparison, after clauses that come ``before`` it, and what would decide its cells."""
    clauses = [*before, *_meanings(comparison, comparison_outcome(comparison, fail_on), fail_on)]
    times = _times_undecided(comparison, fail_on) and comparison.timing_command
    again = f". This times both again: {times}" if times else ""
    decides = _what_decides(comparison.flagged("undecided"), is_only_clause=len(clauses) == 1)
    return f"{'; '.join(clauses)}{decides}{again}"


def _conditions(comparison: Comparison, fail_on: Collection[str]) -> list[str]:
    """Return what a reader of a comparison that holds must accept."""
    resources = [name for flag, name, _, _ in _RESOURCES if comparison.flagged(flag)]
    if "time" not in resources and _times_undecided(comparison, fail_on):
        resources = ["time", *resources]
    conditions = [f"{' and '.join(resources)} may grow"] if resources else []
    if _is_partial(comparison):
        conditions.append("what was not compared does not matter")
    return conditions


def _is_partial(comparison: Comparison) -> bool:
    """Return whether a cell of the baseline has no verdict."""
    return bool(comparison.only_before or comparison.flagged("incomparable"))


def decisive(comparison: Comparison, word: str, fail_on: Collection[str]) -> str:
    """Return the cell that decides the outcome, with its numbers and its cause."""
    if not comparison.cells:
        return "the two have no cell in common"
    if word == "HOLDS":
        return _all_hold(comparison.cells)
    if word == "CANNOT COMPARE":
        cells: Sequence[CellComparison] = comparison.flagged("incomparable")
    elif word == "UNDECIDED":
        cells = sorted(comparison.flagged("undecided"), key=loss_rank)
    else:
        regressed = sorted(comparison.flagged("regressed"), key=loss_rank)
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
        reasons.append(f"drifted: {first_reason(cell)}")
    return f"{cell.name} {' and '.join(reasons)}" if reasons else ""


def loss_rank(cell: CellComparison) -> tuple[bool, float]:
    """Return the key by which cells are sorted: drops with a cause first, then by what was lost at worst."""
    change = cell.accuracy
    return not (change and change.delta < 0 and _causes(cell)), change.at_worst if change else 0.0


def _cell_sentence(cell: CellComparison) -> str:
    change = cell.accuracy
    if change is None:
        return f"{cell.name}: {first_reason(cell)}"
    text = f"{cell.name} {signed_points(change.delta)} points (at worst {signed_points(change.at_worst, 1)})"
    reason = first_reason(cell)
    return f"{text}: {reason}" if reason else text


def first_reason(cell: CellComparison) -> str:
    """Return why a cell is incomparable, or which seed or cause explains it, in a clause; empty if nothing does."""
    reasons = [*cell.reasons, *(failed.sentence for failed in cell.failed_seeds), *_causes(cell), ""]
    return leading_clauses(reasons[0], MOST_CAUSE_CHARACTERS)


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
    """Yield the meaning of the outcome, and everything else that a reader should know before merging."""
    cells, limit = comparison.cells, points_text(comparison.tolerance)
    regressed, undecided = comparison.flagged("regressed"), comparison.flagged("undecided")
    if failed := [cell for cell in regressed if cell.failed_seeds]:
        seeds = "has a seed" if len(failed) == 1 else "have seeds"
        yield f"{_of(failed, cells)} {seeds} more than {points_text(LEAST_DROP)} below the others"
    if worse := [cell for cell in regressed if not cell.failed_seeds]:
        yield f"{_of(worse, cells)} got worse beyond chance, by more than the {limit} that may be lost"
    if undecided:
        lost = f"the data cannot tell whether more than {limit} was lost"
        yield f"for {_of(undecided, cells)} {lost}"
    incomparable = comparison.flagged("incomparable")
    if word == "HOLDS":
        yield f"no {'compared ' if _is_partial(comparison) else ''}cell lost more than {limit} of accuracy"
    if incomparable:
        yield f"{_none_of(incomparable, cells)} be compared"
    if "drifted" in fail_on and (drifted := comparison.flagged("drifted")):
        yield f"{_of(drifted, cells)} drifted"
    for flag, _, one, several in _RESOURCES:
        if flagged := comparison.flagged(flag):
            yield f"{_of(flagged, cells)} {one if len(flagged) == 1 else several}"
    if unclear := _times_undecided(comparison, fail_on):
        slower = "it is slower" if len(unclear) == 1 else "they are slower"
        yield f"for {_of(unclear, cells)} the data cannot tell whether {slower}"
    yield from _not_run(comparison)
    if not cells and not comparison.to_declare:
        yield "the baseline and this run measured different models, methods or seeds"
    if comparison.to_declare:
        yield f"to compare what changed on purpose: {comparison.to_declare}"


def _of(some: Sequence[CellComparison], cells: Sequence[CellComparison]) -> str:
    if len(cells) == 1:
        return some[0].name
    return _all(cells) if len(some) == len(cells) else f"{len(some)} of {len(cells)} cells"


def _none_of(some: Sequence[CellComparison], cells: Sequence[CellComparison]) -> str:
    """Return the cells of which something cannot be said, with the verb."""
    if len(some) < len(cells) or len(cells) == 1:
        return f"{_of(some, cells)} cannot"
    return f"{'neither' if len(cells) == 2 else 'none'} of the {len(cells)} cells can"


def _all(cells: Sequence[CellComparison]) -> str:
    return {1: cells[0].name, 2: "both cells"}.get(len(cells), f"all {len(cells)} cells")


def _what_decides(undecided: Sequence[CellComparison], *, is_only_clause: bool) -> str:
    """Return what would decide the cell that the headline names, or the first other cell that has an answer.

    The sentence names its cells, except where the only clause before it is about them.
    """
    answered = [cell for cell in sorted(undecided, key=loss_rank) if cell.would_decide]
    if not answered:
        return ""
    if len({cell.would_decide for cell in answered}) > 1:
        what = f"{answered[0].name} (the findings have the others)"
    elif is_only_clause and len(answered) == len(undecided):
        what = "it"
    elif len(answered) == 1:
        what = answered[0].name
    else:
        missing = len(undecided) - len(answered)
        what = f"{len(answered)} of the {len(undecided)} undecided cells" if missing else "the undecided cells"
    return f". This would decide {what}: {answered[0].would_decide}"


def _not_run_names(comparison: Comparison) -> str:
    """Return the cells and seeds of the baseline that were not run, in a clause."""
    of_seeds = comparison.seeds_only_before.items()
    seeds = [
        f"{name} with seed{'s' if len(of_cell) > 1 else ''} {shorten([*map(str, of_cell)])}"
        for name, of_cell in of_seeds
    ]
    names = [*comparison.only_before, *seeds]
    was, has = ("was", "has it") if len(names) == 1 else ("were", "has them")
    return f"{shorten(names, MOST_NAMES)} {was} not run, and the baseline {has}"


def _times_undecided(comparison: Comparison, fail_on: Collection[str]) -> list[CellComparison]:
    """Return the cells whose time is undecided, if a slower one was to fail the comparison."""
    times = [(cell, cell.speed_and_memory) for cell in comparison.cells if "slower" in {*fail_on} - cell.flags]
    return [cell for cell, change in times if change and change.overall and change.overall.speed == "undecided"]


def _not_run(comparison: Comparison) -> Iterator[str]:
    seeds = sum(map(len, comparison.seeds_only_before.values()))
    for missing, noun in ((len(comparison.only_before), "cell"), (seeds, "seed")):
        if missing:
            yield f"{plural(missing, noun)} of the baseline {'was' if missing == 1 else 'were'} not run"
