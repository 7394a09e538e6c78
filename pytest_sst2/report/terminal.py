"""Render the summary at the end of a run: context, one table, warnings and notes."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2.report.results_table import HEADERS, NUMERIC, Row, cell_rows
from pytest_sst2.report.summary import EPOCH_HEADERS, context_lines, epoch_rows, warning_lines
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.sanitize import one_line

# Columns that a narrow terminal leaves out first. Accuracy, floor, seconds, memory and verdict stay.
_LEFT_OUT_FIRST = ("p50 ms", "predict s", "encode s", "train s", "seeds")


def summary_lines(
    records: Sequence[Record],
    failures: Sequence[Failure],
    notes: Sequence[str],
    problems: Sequence[str],
    width: int | None = None,
    *,
    verbose: bool = False,
) -> list[str]:
    """Return the whole summary of a run: context, table, seeds, warnings, notes and problems.

    If ``verbose``, the learning curves come below the seeds.
    """
    rows = cell_rows(records, failures)
    lines = context_lines(records[0]) if records else ["no cell was measured"]
    lines += ["", *table(rows, width).split("\n"), *_seed_lines(rows), ""] if rows else []
    if verbose and (epochs := epoch_rows(records)):
        curves, _ = fit_table(EPOCH_HEADERS, epochs, width=width, right=EPOCH_HEADERS[1:], truncated="cell")
        lines += [*curves.split("\n"), ""]
    lines += [*warning_lines(records), *notes, *(f"ERROR: {problem}" for problem in problems)]
    return list(map(one_line, lines))


def table(rows: Sequence[Row], width: int | None = None) -> str:
    """Return the table, at most ``width`` columns wide (None: no limit), and the names of columns left out for that."""
    text, left_out = fit_table(
        HEADERS,
        [row.texts for row in rows],
        width=width,
        left_out_first=_LEFT_OUT_FIRST,
        right=NUMERIC,
        truncated="cell",
    )
    return text + left_out_line(left_out, width)


def _seed_lines(rows: Sequence[Row]) -> list[str]:
    """Return the accuracy of each seed, in their order, a line per cell with several."""
    return [
        f"{row.name}: "
        + ", ".join(
            [
                *(f"seed {record.seed} {record.accuracy:.4f}" for record in row.records),
                *(f"seed {failure.seed} {NONE}" for failure in row.failures),
            ]
        )
        for row in rows
        if len(row.records) + len(row.failures) > 1
    ]
