"""The table of compared cells as a page shows it: a row per cell, with a bar from its worst to its best case."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.report import comparison_text, within_run_text
from pytest_sst2.report.bars import Bar, Scale, bar
from pytest_sst2.report.headline import MOST_CAUSE_CHARACTERS, first_reason
from pytest_sst2.report.page_table import Cell, Header, Row, Table
from pytest_sst2.utils.formatting import leading_clauses, signed_points

BAR_LEGEND = "The bars go from at worst to at best; dashed: what may be lost, solid: no change."
# A change beyond this is drawn as an arrow, so that the tolerance of the other cells can be seen.
_MOST_DRAWN = 0.30
_TONES = {"regressed": "bad", "held": "good", "identical": "good", "improved": "good"}


def comparison_table(comparison: Comparison, fail_on: Collection[str]) -> Table:
    """Return the table of a comparison; cells with a flag of ``fail_on`` are bad."""
    cells = comparison_text.ordered(comparison.cells)
    texts = list(map(comparison_text.row, cells))
    return _table("Comparison", comparison_text.HEADERS, texts, cells, fail_on, "compared")


def pairs_table(within: WithinRun) -> Table:
    """Return the table of a comparison of cells of one run."""
    cells = comparison_text.ordered(within.cells)
    return _table(within_run_text.TITLE, within_run_text.HEADERS, within_run_text.rows(within), cells, (), "pairs")


def has_bars(table: Table) -> bool:
    """Return whether a table has a column of bars: a cell that was compared and is not identical."""
    return any(header.is_bar for header in table.headers)


def _table(
    label: str,
    headers: Sequence[str],
    texts: Sequence[Sequence[str]],
    cells: Sequence[CellComparison],
    fail_on: Collection[str],
    identifier: str,
) -> Table:
    """Return a table whose bars are to the right of its last number."""
    numbers = list(map(_numbers, cells))
    place = 1 + max(index for index, header in enumerate(headers) if header in within_run_text.NUMERIC)
    columns = [Header(header, header in within_run_text.NUMERIC) for header in headers]
    scale = _scale(cells)
    bars = [_bar(cell, scale) for cell in cells]
    if any(bars):
        span = f"{signed_points(scale.low, 1)} to {signed_points(scale.high, 1)} points"
        columns.insert(place, Header(span, tooltip=BAR_LEGEND, is_bar=True))
    rows = []
    for cell, of_cell, values, drawn in zip(cells, texts, numbers, bars, strict=True):
        parts = [Cell(text, values.get(header)) for header, text in zip(headers, of_cell, strict=True)]
        parts[0] = Cell(of_cell[0], note=_note(cell))
        if any(bars):
            parts.insert(place, Cell(bar=drawn))
        tone = "bad" if cell.flags & set(fail_on) else _TONES.get(cell.verdict, "neutral")
        rows.append(Row(tuple(parts), tone))
    return Table(label, tuple(columns), tuple(rows), identifier)


def _numbers(cell: CellComparison) -> dict[str, float]:
    """Return the numbers to sort by, under the headers of their columns."""
    change = cell.accuracy
    if change is None:
        return {}
    return {"Δ points": change.delta, "at worst": change.at_worst, "at best": change.at_best}


def _note(cell: CellComparison) -> str:
    """Return the cause of a cell, else the first difference."""
    first = next(map(str, cell.causes), "")
    return first_reason(cell) or leading_clauses(first, MOST_CAUSE_CHARACTERS)


def _scale(cells: Sequence[CellComparison]) -> Scale:
    changes = [cell.accuracy for cell in cells if cell.accuracy]
    limits = [0.0, *(-cell.tolerance for cell in cells)]
    worst, best = ([getattr(change, name) for change in changes] for name in ("at_worst", "at_best"))
    return Scale(max(min(limits + worst), min(-_MOST_DRAWN, *limits)), min(max(limits + best), _MOST_DRAWN))


def _bar(cell: CellComparison, scale: Scale) -> Bar | None:
    change = cell.accuracy
    if change is None or cell.verdict == "identical":
        return None
    return bar(
        scale,
        (change.at_worst, change.delta, change.at_best),
        [(0.0, "zero"), (-cell.tolerance, "limit")],
        f"{cell.name}: {signed_points(change.delta)} points, at worst {signed_points(change.at_worst)}, at best "
        f"{signed_points(change.at_best)}; {signed_points(-cell.tolerance)} would be accepted",
    )
