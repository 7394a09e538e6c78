"""Render the summary at the end of a run: context, one table, warnings and notes."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2.report.results_table import HEADERS, NUMERIC, rows
from pytest_sst2.report.summary import context_lines, warning_lines
from pytest_sst2.report.text_table import fit_table, left_out_line
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.sanitize import one_line

# Columns that a narrow terminal leaves out first: those that other columns imply, then the least important.
_LEFT_OUT_FIRST = (
    "ex/s",
    "Δ majority",
    "p50 ms",
    "predict s",
    "95 % interval",
    "peak MB",
    "encode s",
    "floor",
    "train s",
)


def summary_lines(
    records: Sequence[Record],
    failures: Sequence[Failure],
    notes: Sequence[str],
    problems: Sequence[str],
    width: int | None = None,
) -> list[str]:
    """Return the whole summary of a run: context, table, warnings, notes and problems."""
    lines = context_lines(records[0]) if records else ["no cell was measured"]
    lines += ["", *table(records, failures, width).split("\n"), "", *warning_lines(records), *notes]
    return [one_line(line) for line in (*lines, *(f"ERROR: {problem}" for problem in problems))]


def table(records: Sequence[Record], failures: Sequence[Failure] = (), width: int | None = None) -> str:
    """Return the table, at most ``width`` columns wide (None: no limit), and the names of columns left out for that."""
    table_rows = rows(records, failures)
    # A method is named once, in the first of its rows.
    texts = [
        row.cells if index == 0 or table_rows[index - 1].cells[0] != row.cells[0] else ("", *row.cells[1:])
        for index, row in enumerate(table_rows)
    ]
    text, left_out = fit_table(
        HEADERS, texts, width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, truncated="model"
    )
    return text + left_out_line(left_out, width)
