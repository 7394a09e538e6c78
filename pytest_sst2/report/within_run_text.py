"""Render the comparison of cells of one run as text for a terminal and as JSON; hold the rows for other renderers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.config.specs import cell_name
from pytest_sst2.report.comparison_text import LOUD, once_each, ordered
from pytest_sst2.report.headline import MOST_NAMES
from pytest_sst2.report.results_table import seeds_text
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.utils.formatting import plural, points_text, shorten, signed_points
from pytest_sst2.utils.sanitize import json_text, one_line

TITLE = "Within the run"
HEADERS = ("cell", "against", "seeds", "verdict", "against → cell", "Δ points", "at worst", "at best")
NUMERIC = ("Δ points", "at worst", "at best")
# Columns that a narrow terminal leaves out first.
_LEFT_OUT_FIRST = ("seeds", "at best", "against → cell", "Δ points")


def within_run_lines(within: WithinRun, width: int | None = None) -> list[str]:
    """Return the whole comparison as lines for a terminal of ``width`` columns (None: no limit)."""
    sections = [[headline(within), rule_line(within)]]
    if within.cells:
        text, left_out = fit_table(
            HEADERS, rows(within), width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, truncated="cell"
        )
        sections.append((text + left_out_line(left_out, width)).split("\n"))
    sections.append(findings(within))
    return "\n\n".join("\n".join(map(one_line, section)) for section in sections if section).split("\n")


def within_run_json(within: WithinRun, fail_on: Collection[str]) -> str:
    """Return the comparison as JSON: every number, the flags of each pair, the headline, and the exit status."""
    values = asdict(within)
    for fields, cell in zip(values["cells"], within.cells, strict=True):
        fields |= {"name": cell.name, "against": against(cell), "flags": sorted(cell.flags)}
    values |= {
        "fail_on": sorted(fail_on),
        "exit_status": within.exit_status(fail_on),
        "headline": headline(within),
    }
    return json_text(values)


def headline(within: WithinRun) -> str:
    """Return the answer in one sentence; for several pairs, how many have which verdict."""
    if not within.cells:
        return "nothing to compare"
    if len(within.cells) == 1:
        return _sentence(within.cells[0])
    counts: dict[str, int] = {}
    for cell in ordered(within.cells):
        counts[cell.verdict] = counts.get(cell.verdict, 0) + 1
    return f"{plural(len(within.cells), 'pair')}: {', '.join(f'{count} {word}' for word, count in counts.items())}"


def _sentence(cell: CellComparison) -> str:
    change, other = cell.accuracy, against(cell)
    if change is None:
        return f"{cell.name} cannot be compared with {other}: {cell.reasons[0]}"
    delta, worst, best = (signed_points(value) for value in (change.delta, change.at_worst, change.at_best))
    limit = points_text(cell.tolerance)
    return {
        "identical": f"{cell.name} answers every sentence as {other} does",
        "improved": f"{cell.name} is better than {other}: {delta} points (at worst {worst})",
        "regressed": f"{cell.name} is worse than {other}: {delta} points (at best {best})",
        "held": f"{cell.name} is at most {limit} worse than {other}: {delta} points (at worst {worst})",
        "undecided": f"the data cannot tell whether {cell.name} is more than {limit} worse than {other}: "
        f"{delta} points ({worst} to {best})",
    }[cell.verdict]


def rule_line(within: WithinRun) -> str:
    """Return the meaning of the columns."""
    return (
        f"{within.origin}: each cell against another one, on the same sentences; at worst and at best: the "
        f"{100 * (1 - within.alpha):g} % confidence bounds of Δ; up to {points_text(within.tolerance)} may be lost"
    )


def gate_line(flagged: Sequence[CellComparison]) -> str:
    """Return why the pairs fail a run."""
    pairs = [f"{cell.name} against {against(cell)}: {cell.verdict}" for cell in flagged]
    return f"{plural(len(pairs), 'pair')} of cells failed: {shorten(pairs, MOST_NAMES)}"


def findings(within: WithinRun) -> list[str]:
    """Return the sentences below the table, each distinct one once, with the pairs it is about."""

    def by_sentence(word: str, sentences: Iterable[Iterable[str]]) -> list[str]:
        return once_each(word, list(zip(names, sentences, strict=True)))

    names = [f"{cell.name} against {against(cell)}" for cell in within.cells]
    cells = within.cells
    return [
        *by_sentence("incomparable", (cell.reasons for cell in cells)),
        *by_sentence("drift", ([str(cause) for cause in cell.causes if not cause.is_note] for cell in cells)),
        *by_sentence("to decide", (filter(None, (cell.would_decide,)) for cell in cells)),
        *by_sentence(
            "note", ([*cell.notes, *(str(cause) for cause in cell.causes if cause.is_note)] for cell in cells)
        ),
        *(f"note: {note}" for note in within.notes),
    ]


def rows(within: WithinRun) -> list[tuple[str, ...]]:
    """Return the rows of the table: the texts under ``HEADERS``."""
    return [_row(cell) for cell in ordered(within.cells)]


def against(cell: CellComparison) -> str:
    """Return the name of the cell that a cell is compared with."""
    return cell_name(cell.earlier) if cell.earlier else NONE


def _row(cell: CellComparison) -> tuple[str, ...]:
    verdict = cell.verdict.upper() if cell.verdict in LOUD else cell.verdict
    start = (cell.name, against(cell), seeds_text(cell.seeds), verdict)
    change = cell.accuracy
    if change is None:
        return (*start, *[NONE] * (len(HEADERS) - len(start)))
    bounds = (change.at_worst, change.at_best)
    return (
        *start,
        f"{change.before:.4f} → {change.after:.4f}",
        signed_points(change.delta),
        *(NONE if cell.verdict == "identical" else signed_points(bound) for bound in bounds),
    )
