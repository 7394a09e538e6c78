"""Render the report as one HTML file that opens from disk, needs no network, and stays under a megabyte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.comparison import CellComparison
from pytest_sst2.report import charts, comparison_text, results_table
from pytest_sst2.report.cell_details import CHANGED_SLICE_HEADERS, cell_details, changed_slice_rows
from pytest_sst2.report.summary import Report, context_lines, warning_lines
from pytest_sst2.report.templating import page
from pytest_sst2.results.record import Epoch
from pytest_sst2.version import __version__

MOST_BYTES = 1_000_000
_MOST_DETAILED = 12
# Long lists, which are truncated if the page would be too large.
_LISTS = ("rows", "comparison_rows", "environment_rows", "epochs", "warnings", "findings", "packages")
_SIGNS = {"good": "✓", "bad": "✗", "unclear": "?"}
T = TypeVar("T")
_EPOCH_HEADERS = ("cell", "epoch", "training loss", "evaluation loss", "accuracy")


@dataclass(frozen=True)
class _TableCell:
    text: str
    is_numeric: bool
    number: float | None = None
    tooltip: str = ""


@dataclass(frozen=True)
class _Row:
    cells: tuple[_TableCell, ...]
    tone: str


def html_text(report: Report, cells: Sequence[CellAnalysis]) -> str:
    """Return the report as one HTML document of at most a megabyte.

    If it would be larger, the details of the least important cells are left out, and then rows of the tables. The page
    says so.
    """
    details = [cell_details(cell) for cell in sorted(cells, key=lambda cell: cell.attention_rank)[:_MOST_DETAILED]]
    values = {**_results(report, cells), **_comparison(report, cells), **_sections(report, cells)}
    values |= _environment(report)
    lists = [values[name] or () for name in _LISTS]
    detailed, shown_rows = len(details), max(map(len, lists))
    while True:
        text = page(
            "report.html.j2",
            **values,
            report=report,
            version=__version__,
            sign=_SIGNS[report.tone],
            details=details[:detailed],
            not_detailed=len(cells) - detailed,
            shown_rows=shown_rows,
        )
        if len(text.encode()) <= MOST_BYTES or not (detailed or shown_rows):
            return text
        detailed, shown_rows = (detailed // 2, shown_rows) if detailed else (0, shown_rows // 2)


def _results(report: Report, cells: Sequence[CellAnalysis]) -> dict[str, Any]:
    warnings = [*(f"ERROR: {problem}" for problem in report.problems), *report.notes]
    warnings += [f"no number: {failure.cell}: {failure.error}" for failure in report.failures]
    return {
        "context": context_lines(report.records[0]) if report.records else ["no cell was measured"],
        "headers": [
            _TableCell(column.header, column.is_numeric, tooltip=column.tooltip)
            for column in _verdict_first(results_table.COLUMNS)
        ],
        "rows": [_result_row(row) for row in results_table.rows(report.records, report.failures)],
        "time_figures": charts.time_charts(cells),
        "training_figures": charts.training_charts(cells),
        "epoch_headers": _EPOCH_HEADERS,
        "epochs": [_epoch_row(cell, epoch) for cell in cells for epoch in cell.epochs],
        "warnings": [*warnings, *warning_lines(report.records)],
    }


def _verdict_first(columns: Sequence[T]) -> list[T]:
    """Return one item per column, with the verdict (the last column) before the numbers."""
    return [*columns[:3], columns[-1], *columns[3:-1]]


def _epoch_row(cell: CellAnalysis, epoch: Epoch) -> tuple[str, ...]:
    numbers = (f"{epoch.train_loss:.4f}", f"{epoch.eval_loss:.4f}", f"{epoch.eval_accuracy:.4f}")
    return (cell.name, str(epoch.number), *numbers)


def _result_row(row: results_table.Row) -> _Row:
    values = tuple(
        _TableCell(text, column.is_numeric, column.number(row.record) if column.number and row.record else None)
        for column, text in zip(results_table.COLUMNS, row.cells, strict=True)
    )
    bad = row.cells[-1] in (results_table.FAILED, results_table.BELOW_FLOOR)
    return _Row(tuple(_verdict_first(values)), "bad" if bad else "good" if row.cells[-1] == "pass" else "")


def _comparison(report: Report, cells: Sequence[CellAnalysis]) -> dict[str, Any]:
    comparison = report.comparison
    if comparison is None:
        empty: dict[str, Any] = dict.fromkeys(("comparison_headers", "comparison_rows", "forest", "findings"))
        return {**empty, "comparison_rule": "", "environment_rows": []}
    return {
        "comparison_rule": comparison_text.rule_line(comparison),
        "comparison_headers": [
            _TableCell(header, header in comparison_text.NUMERIC) for header in comparison_text.HEADERS
        ],
        "comparison_rows": [_comparison_row(cell, report.fail_on) for cell in comparison.cells],
        "forest": charts.forest_chart(cells, comparison.tolerance),
        "findings": comparison_text.findings(comparison),
        "environment_rows": comparison_text.environment_rows(comparison),
    }


def _comparison_row(cell: CellComparison, fail_on: Sequence[str]) -> _Row:
    are_numeric = [header in comparison_text.NUMERIC for header in comparison_text.HEADERS]
    texts = zip(comparison_text.row(cell), are_numeric, strict=True)
    values = tuple(_TableCell(text, is_numeric, _number(text) if is_numeric else None) for text, is_numeric in texts)
    return _Row(values, "bad" if cell.flags & set(fail_on) else "")


def _number(text: str) -> float | None:
    """Return the number in a text of the comparison's table; None if it is not a number."""
    try:
        return float(text.replace("−", "-").lstrip("<"))
    except ValueError:
        return None


def _sections(report: Report, cells: Sequence[CellAnalysis]) -> dict[str, Any]:
    sections = [("results", "Results")]
    if report.comparison is not None:
        sections.append(("comparison", "Before and after"))
    if any(cell.epochs for cell in cells):
        sections.append(("training", "Training"))
    if cells:
        sections.append(("details", "Cell by cell"))
    return {
        "changed_slice_headers": CHANGED_SLICE_HEADERS,
        "changed_slices": changed_slice_rows(cells),
        "sections": [*sections, ("warnings", "Warnings"), ("reproduce", "How to reproduce")],
    }


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
