"""The summary at the end of a run: one line of context and one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pytest_sst2.report.results_table import HEADERS, NUMERIC, rows
from pytest_sst2.report.text_table import fitted, left_out_line
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.sanitize import one_line

# What goes first where the terminal is narrow: what other columns say better, then what is nobody's first question.
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
    """What the summary needs of a run."""

    notes: list[str]
    problems: list[str]
    failures: list[Failure]

    @property
    def records(self) -> Sequence[Record]:
        """One per measured cell."""


def summary_lines(session: Summary, width: int | None = None) -> list[str]:
    """Return the whole summary: context, table, warnings, what was written, what went wrong.

    Args:
        session: What was measured.
        width: Columns of the terminal; None for no limit.
    """
    lines = context_lines(session.records[0]) if session.records else ["no cell was measured"]
    lines += ["", *table(session.records, session.failures, width).split("\n"), ""]
    lines += warning_lines(session.records)
    lines += session.notes
    lines += [f"ERROR: {problem}" for problem in session.problems]
    return list(map(one_line, lines))


def context_lines(record: Record) -> list[str]:
    """Return what all cells of a run have in common: data, recipe, device, type, versions; and the data's note."""
    data, environment = record.dataset, record.environment
    lines = [
        f"{data.name} ({_short(data.revision)}) {data.split} n={data.eval_size:,}, trained on {data.train_size:,} · "
        f"recipe {record.recipe_label} · {environment.device} × {plural(environment.threads, 'thread')} · "
        f"{record.recipe.dtype} · Python {environment.python}, {environment.headline}"
    ]
    if data.note:
        lines.append(f"NOTE: {data.note}")
    return lines


def table(records: Sequence[Record], failures: Sequence[Failure] = (), width: int | None = None) -> str:
    """Return the table, at most ``width`` columns wide (None: no limit), and what was left out for that."""
    found = rows(records, failures)
    shown = [
        row.cells if index == 0 or found[index - 1].cells[0] != row.cells[0] else ("", *row.cells[1:])
        for index, row in enumerate(found)
    ]
    text, left_out = fitted(
        HEADERS, shown, width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, shortened="model"
    )
    return text + left_out_line(left_out, width)


def warning_lines(records: Sequence[Record]) -> list[str]:
    """Return each distinct warning once, with the cells it is about."""
    cells: dict[str, list[str]] = {}
    for record in records:
        for warning in record.warnings:
            cells.setdefault(warning, []).append(record.cell)
    total = len(records)
    return [
        f"warning: {warning} ({'all cells' if len(names) == total > 1 else ', '.join(names)})"
        for warning, names in cells.items()
    ]


def _short(revision: str) -> str:
    """Return enough of a commit or digest to recognise it."""
    return revision if revision.startswith("sha256:") else revision[:12]
