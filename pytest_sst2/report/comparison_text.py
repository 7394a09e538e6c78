"""Render a comparison as text for a terminal and as JSON; hold the rows and sentences that other renderers share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.cell_times import PhaseTimeChange, Speed
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.report.headline import comparison_advice, comparison_headline, loss_rank
from pytest_sst2.report.results_table import seeds_text
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.utils.formatting import duration, points_text, relative_margin, signed_points
from pytest_sst2.utils.sanitize import json_text, one_line

HEADERS = ("cell", "seeds", "verdict", "before → after", "Δ points", "at worst", "time", "memory")
NUMERIC = ("Δ points", "at worst")
# Columns that a narrow terminal leaves out first.
_LEFT_OUT_FIRST = ("seeds", "memory", "time", "Δ points")
LOUD = ("regressed", "incomparable")
_DAY = 86_400
# The order in which a reader looks for the cells.
_ORDER = ("regressed", "undecided", "incomparable", "improved", "held", "identical")


def comparison_lines(
    comparison: Comparison, fail_on: Collection[str], width: int | None = None, *, opening: Sequence[str] = ()
) -> list[str]:
    """Return the whole comparison as lines for a terminal of ``width`` columns (None: no limit).

    The first lines are ``opening``, the headline of a run and what it means; without it, those of the comparison.
    """
    opening = opening or (comparison_headline(comparison, fail_on), comparison_advice(comparison, fail_on))
    sections = [[*opening, rule_line(comparison)]]
    if comparison.cells:
        text, left_out = fit_table(
            HEADERS,
            [row(cell) for cell in ordered(comparison.cells)],
            width=width,
            left_out_first=_LEFT_OUT_FIRST,
            right=NUMERIC,
            truncated="cell",
        )
        sections.append((text + left_out_line(left_out, width)).split("\n"))
    sections.append(findings(comparison))
    if comparison.environment:
        changes, _ = fit_table(("", "before", "after"), environment_rows(comparison), width=width, truncated="")
        sections.append(["what changed in the environment:", *changes.split("\n")])
    return "\n\n".join("\n".join(map(one_line, section)) for section in sections if section).split("\n")


def comparison_json(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the comparison as JSON: every number, the flags of each cell, the headline, and the exit status."""
    values = asdict(comparison)
    for fields, cell in zip(values["cells"], comparison.cells, strict=True):
        fields["name"] = cell.name
        fields["flags"] = sorted(cell.flags)
    values["fail_on"] = sorted(fail_on)
    values["exit_status"] = comparison.exit_status(fail_on)
    values["headline"] = comparison_headline(comparison, fail_on)
    values["advice"] = comparison_advice(comparison, fail_on)
    return json_text(values)


def rule_line(comparison: Comparison) -> str:
    """Return both sides of the comparison, the age of the baseline, and the meaning of ``at worst``."""
    age = comparison.age_seconds
    old, new = (f"commit {commit}" if commit else "" for commit in comparison.commits)
    before = _with_details(
        comparison.before,
        f"saved {comparison.saved[:10]}" if comparison.saved else "",
        f"{_age(age)} earlier" if age is not None else "",
        old,
    )
    return (
        f"{before} → {_with_details(comparison.after, new)}; at worst: the lower {100 * (1 - comparison.alpha):g} % "
        f"confidence bound of Δ; up to {points_text(comparison.tolerance)} may be lost"
    )


def _with_details(name: str, *details: str) -> str:
    known = ", ".join(filter(None, details))
    return f"{name} ({known})" if known else name


def _age(seconds: float) -> str:
    return duration(seconds) if seconds < 2 * _DAY else f"{seconds // _DAY:,.0f} days"


def ordered(cells: Iterable[CellComparison]) -> list[CellComparison]:
    """Return the cells in the order in which a reader looks for them: regressed first, of these the largest loss."""
    return sorted(cells, key=lambda cell: (_ORDER.index(cell.verdict), not cell.flags, loss_rank(cell)))


def findings(comparison: Comparison) -> list[str]:
    """Return the sentences below the table, each distinct one once, with the cells it is about."""

    def by_sentence(word: str, sentences: Callable[[CellComparison], Iterable[str]]) -> list[str]:
        return once_each(word, [(cell.name, sentences(cell)) for cell in comparison.cells])

    lines = []
    if comparison.only_before:
        lines.append(f"missing: not measured this time: {', '.join(comparison.only_before)}")
    lines += by_sentence("missing", lambda cell: _missing_seeds(comparison, cell))
    lines += by_sentence("incomparable", lambda cell: cell.reasons)
    lines += by_sentence("failed seed", lambda cell: (failed.sentence for failed in cell.failed_seeds))
    lines += by_sentence("declared", lambda cell: (str(cause) for cause in cell.causes if cause.is_declared))
    lines += by_sentence("drift", lambda cell: (str(cause) for cause in cell.causes if not cause.is_note))
    lines += by_sentence("to decide", lambda cell: filter(None, (cell.would_decide,)))
    lines += by_sentence("slower", lambda cell: _changed_phases(cell.speed_and_memory, "slower"))
    lines += by_sentence("more-memory", _more_memory)
    lines += by_sentence("faster", lambda cell: _changed_phases(cell.speed_and_memory, "faster"))
    lines += by_sentence(
        "note",
        lambda cell: (
            *cell.notes,
            *(str(cause) for cause in cell.causes if cause.is_note and not cause.is_declared),
            *(cell.speed_and_memory.notes if cell.speed_and_memory else ()),
        ),
    )
    if comparison.to_declare:
        lines.append(f"undeclared: to compare what changed on purpose: {comparison.to_declare}")
    lines += [f"note: {note}" for note in comparison.notes]
    if comparison.only_after:
        lines.append(f"note: nothing to compare with for {', '.join(comparison.only_after)}")
    return lines


def once_each(word: str, cells: Sequence[tuple[str, Iterable[str]]]) -> list[str]:
    """Return each distinct sentence of some cells (names and sentences) once, with a first word and their names."""
    names: dict[str, list[str]] = {}
    for name, sentences in cells:
        for sentence in sentences:
            names.setdefault(sentence, []).append(name)
    return [
        f"{word}: {sentence} ({'all cells' if len(of_sentence) == len(cells) > 1 else ', '.join(of_sentence)})"
        for sentence, of_sentence in names.items()
    ]


def _missing_seeds(comparison: Comparison, cell: CellComparison) -> Iterable[str]:
    if seeds := comparison.seeds_only_before.get(cell.name, ()):
        yield f"not measured this time: {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _changed_phases(change: SpeedAndMemoryChange | None, speed: Speed) -> Iterable[str]:
    """Yield one sentence about all times of a cell that became slower or faster."""
    times = [time for time in (change.times if change else ()) if time.speed == speed]
    # The sum of the phases comes first.
    times.sort(key=lambda time: time.name != "all")
    if times:
        yield ", ".join(
            f"{'all phases' if time.name == 'all' else time.name} {_ratio(time)} ({_seconds(time.before_seconds)} → "
            f"{_seconds(time.after_seconds)}, noise {relative_margin(time.margin)})"
            for time in times
        )


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _ratio(change: PhaseTimeChange) -> str:
    return f"{change.ratio:.3g} ×" if change.ratio >= 10 else f"{change.ratio:.2f} ×"


def _more_memory(cell: CellComparison) -> Iterable[str]:
    memory = cell.speed_and_memory.memory if cell.speed_and_memory else None
    if memory and memory.is_more:
        yield (
            f"peak memory {memory.ratio:.2f} × what it was ({memory.before_bytes / 2**20:,.0f} MB → "
            f"{memory.after_bytes / 2**20:,.0f} MB)"
        )


def environment_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return a row for each difference in the environment: name, before, after."""
    return [(change.name, change.before or NONE, change.after or NONE) for change in comparison.environment]


def row(cell: CellComparison) -> tuple[str, ...]:
    """Return one row of the table: the texts under ``HEADERS``."""
    verdict = cell.verdict.upper() if cell.verdict in LOUD else cell.verdict
    start = (cell.name, seeds_text(cell.seeds), verdict)
    change = cell.accuracy
    if change is None:
        return (*start, *[NONE] * (len(HEADERS) - len(start)))
    return (
        *start,
        f"{change.before:.4f} → {change.after:.4f}",
        signed_points(change.delta),
        NONE if cell.verdict == "identical" else signed_points(change.at_worst),
        _time(cell.speed_and_memory),
        _memory(cell.speed_and_memory),
    )


def _time(change: SpeedAndMemoryChange | None) -> str:
    overall = change.overall if change else None
    return NONE if overall is None else f"{_ratio(overall)} {overall.speed}"


def _memory(change: SpeedAndMemoryChange | None) -> str:
    memory = change.memory if change else None
    return NONE if memory is None else f"{memory.ratio:.2f} × {memory.state}"
