"""Render the summary at the end of a run: context, one table, warnings and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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


class Summary(Protocol):
    """The part of a run that the summary shows."""

    notes: list[str]
    problems: list[str]
    failures: list[Failure]

    @property
    def records(self) -> Sequence[Record]:
        """One per measured cell."""


def summary_lines(run: Summary, width: int | None = None) -> list[str]:
    """Return the whole summary: context, table, warnings, notes and problems.

    Args:
        run: The run to summarize.
        width: Columns of the terminal; None for no limit.
    """
    lines = context_lines(run.records[0]) if run.records else ["no cell was measured"]
    lines += ["", *table(run.records, run.failures, width).split("\n"), ""]
    lines += warning_lines(run.records)
    lines += run.notes
    lines += [f"ERROR: {problem}" for problem in run.problems]
    return list(map(one_line, lines))


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
