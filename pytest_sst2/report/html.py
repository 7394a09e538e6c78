"""Render the report as one HTML file that opens from disk, needs no network, and stays under a megabyte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.report import comparison_text, results_table, within_run_text
from pytest_sst2.report.bars import Bar, Scale, bar
from pytest_sst2.report.cell_details import cell_details, changed_sentences, changed_slices
from pytest_sst2.report.page_comparison import BAR_LEGEND, comparison_table, has_bars, pairs_table
from pytest_sst2.report.page_table import Cell, Header, Row, Table, plain_table
from pytest_sst2.report.summary import EPOCH_HEADERS, Report, context_lines, epoch_rows, warning_lines
from pytest_sst2.report.templating import page
from pytest_sst2.utils.formatting import plural
from pytest_sst2.version import __version__

MOST_BYTES = 1_000_000
_MOST_DETAILED = 12
_SIGNS = {"good": "✓", "bad": "✗", "neutral": "?", "plain": "•"}
_IN_CSV = "; the CSV next to this page has all."


def html_text(report: Report, cells: Sequence[CellAnalysis]) -> str:
    """Return the report as one HTML document of at most a megabyte.

    If it would be larger, the details of the least important cells are left out, and then rows of the tables. The page
    says so.
    """
    details = [cell_details(cell) for cell in sorted(cells, key=lambda cell: cell.attention_rank)[:_MOST_DETAILED]]
    values = {**_results(report), **_comparison(report, cells), **_within_run(report.within)}
    lengths = [len(value.rows if isinstance(value, Table) else value or ()) for value in values.values()]
    detailed, shown_rows = len(details), max(lengths)
    while True:
        text = page(
            "report.html.j2",
            **values,
            report=report,
            version=__version__,
            sign=_SIGNS[report.tone],
            sections=_sections(values, details),
            details=details[:detailed],
            not_detailed=len(cells) - detailed,
            shown_rows=shown_rows,
        )
        if len(text.encode()) <= MOST_BYTES or not (detailed or shown_rows):
            return text
        detailed, shown_rows = (detailed // 2, shown_rows) if detailed else (0, shown_rows // 2)


def _sections(values: dict[str, Any], details: Sequence[object]) -> dict[str, str]:
    """Return the identifiers and titles of the sections that have something to show, in their order."""
    is_measured = bool(values["results"].rows)
    sections = {
        "comparison": ("Before and after", values["comparison"]),
        "moved": ("What moved", any(table.rows for table in values.get("moved", ()))),
        "within": (within_run_text.TITLE, values["within"]),
        "results": ("Results", is_measured),
        "details": ("Cell by cell", details),
        "warnings": ("Warnings", is_measured or values["warnings"]),
        "reproduce": ("How to reproduce", values["packages"].rows),
    }
    return {name: title for name, (title, is_there) in sections.items() if is_there}


def _results(report: Report) -> dict[str, Any]:
    rows = results_table.cell_rows(report.records, report.failures)
    warnings = [*(f"ERROR: {problem}" for problem in report.problems), *report.notes]
    warnings += [f"no number: {failure.name}: {failure.error}" for failure in report.failures]
    packages = sorted(report.records[0].environment.packages.items()) if report.records else []
    return {
        "context": context_lines(report.records[0]) if report.records else ["no cell was measured"],
        "results": _results_table("Results", rows, "cells"),
        "seeds": _results_table("Every seed", results_table.seed_rows(rows), ""),
        "epochs": plain_table("Training, by epoch", EPOCH_HEADERS, epoch_rows(report.records), EPOCH_HEADERS[1:]),
        "warnings": [*warnings, *warning_lines(report.records)],
        "packages": plain_table(
            f"{plural(len(packages), 'installed package')}, and the machine",
            ("name", "value"),
            _machine(report) + packages,
            kind="free",
        ),
    }


def _results_table(label: str, rows: Sequence[results_table.Row], name: str) -> Table:
    headers = [Header(column.header, bool(column.number), column.tooltip) for column in results_table.COLUMNS]
    bars, span = _accuracy_bars(rows)
    drawn = []
    for row, accuracy in zip(rows, bars, strict=True):
        cells = [
            Cell(column.text(row), column.number(row) if column.number else None) for column in results_table.COLUMNS
        ]
        tone = "bad" if row.is_bad else "good" if row.verdict == "pass" else ""
        # The verdict comes before the numbers.
        drawn.append(Row((cells[0], cells[-1], Cell(bar=accuracy), *cells[1:-1]), tone))
    header = Header(span, tooltip="mean accuracy, its range over the seeds, and the floor as a line", is_bar=True)
    return Table(label, (headers[0], headers[-1], header, *headers[1:-1]), tuple(drawn), name, more=_IN_CSV)


def _accuracy_bars(rows: Sequence[results_table.Row]) -> tuple[list[Bar | None], str]:
    """Return the accuracy of each row on one scale, and the ends of the scale; no bars for a single row.

    Rows no better than the majority class are drawn as an arrow at the low end, so that they do not squeeze the others.
    """
    better = [row for row in rows if row.accuracy is not None and row.accuracy > row.records[0].majority_accuracy] or [
        row for row in rows if row.accuracy is not None
    ]
    ends = [end for row in better for end in (*_range(row), row.floor) if end is not None]
    if len(rows) < 2 or not ends:
        return [None] * len(rows), ""
    scale = Scale(min(ends), max(ends))
    bars = [
        None
        if row.accuracy is None
        else bar(
            scale,
            (_range(row)[0], row.accuracy, _range(row)[1]),
            [(row.floor, "limit")] if row.floor else [],
            f"{row.name}: accuracy {row.accuracy:.4f}" + (f", floor {row.floor:.4f}" if row.floor else ""),
        )
        for row in rows
    ]
    return bars, f"{scale.low:.2f} to {scale.high:.2f}"


def _range(row: results_table.Row) -> tuple[float, float]:
    accuracies = [record.accuracy for record in row.records]
    return min(accuracies), max(accuracies)


def _comparison(report: Report, cells: Sequence[CellAnalysis]) -> dict[str, Any]:
    comparison = report.comparison
    if comparison is None:
        return {"comparison": None}
    rows = comparison_text.environment_rows(comparison)
    table = comparison_table(comparison, report.fail_on)
    return {
        "comparison": table,
        "comparison_caption": [comparison_text.rule_line(comparison), *([BAR_LEGEND] if has_bars(table) else [])],
        "findings": comparison_text.findings(comparison),
        "moved": [changed_sentences(cells), changed_slices(cells)],
        "environment": plain_table("What changed in the environment", ("name", "before", "after"), rows, kind="free"),
    }


def _within_run(within: WithinRun | None) -> dict[str, Any]:
    if within is None:
        return {"within": None}
    table = pairs_table(within)
    legend = [BAR_LEGEND] if has_bars(table) else []
    return {
        "within": table,
        "within_caption": [within_run_text.headline(within), within_run_text.rule_line(within), *legend],
        "within_findings": within_run_text.findings(within),
    }


def _machine(report: Report) -> list[tuple[str, str]]:
    if not report.records:
        return []
    environment = report.records[0].environment
    names = ("python", "implementation", "platform", "device", "device_name", "cpu_model", "cpu_cores", "threads")
    machine = [
        (name.replace("_", " "), str(getattr(environment, name)))
        for name in (*names, "blas", "matmul_precision", "deterministic")
    ]
    return [*machine, *sorted(environment.variables.items())]
