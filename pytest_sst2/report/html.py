"""The report as one HTML file: it opens from disk, asks no network, and stays under a megabyte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_sst2 import __version__
from pytest_sst2.report import charts
from pytest_sst2.report import comparison_text as compared
from pytest_sst2.report import results_table as table
from pytest_sst2.report.cell_details import MOVED_HEADERS, cell_details, moved_rows
from pytest_sst2.report.cells import CellReport
from pytest_sst2.report.summary import Report
from pytest_sst2.report.templating import page
from pytest_sst2.report.terminal import context_lines, warning_lines
from pytest_sst2.results.record import Epoch

MOST_BYTES = 1_000_000
_MOST_DETAILED = 12
# What may be long, and is cut where the page would be too large.
_LISTS = ("rows", "comparison_rows", "environment_rows", "epochs", "warnings", "findings", "packages")
_SIGNS = {"good": "✓", "bad": "✗", "unclear": "?"}
T = TypeVar("T")
_EPOCH_HEADERS = ("cell", "epoch", "training loss", "evaluation loss", "accuracy")


@dataclass(frozen=True)
class _Header:
    text: str
    is_numeric: bool
    explained: str = ""


@dataclass(frozen=True)
class _Value:
    text: str
    is_numeric: bool
    number: float | None


@dataclass(frozen=True)
class _Row:
    cells: tuple[_Value, ...]
    standing: str


def html_text(report: Report, cells: Sequence[CellReport]) -> str:
    """Return the report as one HTML document of at most a megabyte.

    Where it would be more, cells that say least are not unfolded, and in the end rows are left out of the tables; the
    page says so.

    Args:
        report: What every report says.
        cells: What is to be seen of each cell.
    """
    details = [cell_details(cell) for cell in _most_telling(cells)[:_MOST_DETAILED]]
    values = {
        **_results(report, cells),
        **_comparison(report, cells),
        **_sections(report, cells),
        **_environment(report),
    }
    lists = [values[name] or () for name in _LISTS]
    unfolded, shown_rows = len(details), max(map(len, lists))
    while True:
        text = page(
            "report.html.j2",
            **values,
            report=report,
            version=__version__,
            sign=_SIGNS[report.standing],
            details=details[:unfolded],
            not_detailed=len(cells) - unfolded,
            shown_rows=shown_rows,
        )
        if len(text.encode()) <= MOST_BYTES or not (unfolded or shown_rows):
            return text
        unfolded, shown_rows = (unfolded // 2, shown_rows) if unfolded else (0, shown_rows // 2)


def _results(report: Report, cells: Sequence[CellReport]) -> dict[str, Any]:
    warnings = [*(f"ERROR: {problem}" for problem in report.problems), *report.notes]
    warnings += [f"no number: {failure.cell}: {failure.error}" for failure in report.failures]
    return {
        "context": context_lines(report.records[0]) if report.records else ["no cell was measured"],
        "headers": [_Header(column.header, column.is_numeric, column.explained) for column in _columns(table.COLUMNS)],
        "rows": [_result_row(row) for row in table.rows(report.records, report.failures)],
        "time_figures": charts.time_charts(cells),
        "training_figures": charts.training_charts(cells),
        "epoch_headers": _EPOCH_HEADERS,
        "epochs": [_epoch_row(cell, epoch) for cell in cells for epoch in cell.epochs],
        "warnings": [*warnings, *warning_lines(report.records)],
    }


def _columns(each: Sequence[T]) -> list[T]:
    """Return what there is one of for each column with the verdict, the last, brought before the numbers."""
    return [*each[:3], each[-1], *each[3:-1]]


def _epoch_row(cell: CellReport, epoch: Epoch) -> tuple[str, ...]:
    numbers = (f"{epoch.train_loss:.4f}", f"{epoch.eval_loss:.4f}", f"{epoch.eval_accuracy:.4f}")
    return (cell.name, str(epoch.number), *numbers)


def _result_row(row: table.Row) -> _Row:
    values = tuple(
        _Value(text, column.is_numeric, column.number(row.record) if column.number and row.record else None)
        for column, text in zip(table.COLUMNS, row.cells, strict=True)
    )
    bad = row.cells[-1] in (table.FAILED, table.BELOW_FLOOR)
    return _Row(tuple(_columns(values)), "bad" if bad else "good" if row.cells[-1] == "pass" else "")


def _comparison(report: Report, cells: Sequence[CellReport]) -> dict[str, Any]:
    found = report.comparison
    if found is None:
        empty: dict[str, Any] = dict.fromkeys(("comparison_headers", "comparison_rows", "forest", "findings"))
        return {**empty, "comparison_headline": "", "environment_rows": []}
    return {
        "comparison_headline": compared.headline(found),
        "comparison_headers": [_Header(header, header in compared.NUMERIC) for header in compared.HEADERS],
        "comparison_rows": [
            _Row(
                tuple(
                    _Value(text, header in compared.NUMERIC, _number(text) if header in compared.NUMERIC else None)
                    for header, text in zip(compared.HEADERS, compared.row(cell), strict=True)
                ),
                "bad" if cell.flags & set(report.fail_on) else "",
            )
            for cell in found.cells
        ],
        "forest": charts.forest_chart(cells, found.tolerance),
        "findings": compared.findings(found),
        "environment_rows": compared.environment_rows(found),
    }


def _number(text: str) -> float | None:
    """Return the number that a text of the comparison's table shows, None where it shows none."""
    try:
        return float(text.replace("−", "-").lstrip("<"))
    except ValueError:
        return None


def _sections(report: Report, cells: Sequence[CellReport]) -> dict[str, Any]:
    sections = [("results", "Results")]
    if report.comparison is not None:
        sections.append(("comparison", "Before and after"))
    if any(cell.epochs for cell in cells):
        sections.append(("training", "Training"))
    if cells:
        sections.append(("details", "Cell by cell"))
    return {
        "moved_headers": MOVED_HEADERS,
        "moved": moved_rows(cells),
        "sections": [*sections, ("warnings", "Warnings"), ("reproduce", "How to reproduce")],
    }


def _most_telling(cells: Sequence[CellReport]) -> list[CellReport]:
    """Return the cells, those that fail a comparison or a floor first, then those that changed, in their own order."""

    def rank(cell: CellReport) -> int:
        flags = cell.comparison.flags if cell.comparison else frozenset()
        if "regressed" in flags or not all(record.reaches_floor for record in cell.records):
            return 0
        return 1 if flags or (cell.comparison and cell.comparison.verdict == "improved") else 2

    return sorted(cells, key=rank)


def _environment(report: Report) -> dict[str, Any]:
    if not report.records:
        return {"machine": [], "packages": []}
    environment = report.records[0].environment
    names = ("python", "implementation", "platform", "device", "device_name", "cpu_model", "cpu_cores", "threads")
    machine = [
        (name.replace("_", " "), str(getattr(environment, name)))
        for name in (*names, "blas", "matmul_precision", "deterministic")
    ]
    return {
        "machine": [*machine, *sorted(environment.variables.items())],
        "packages": sorted(environment.packages.items()),
    }
