"""The report as one HTML file: it opens from disk, asks no network, and stays under a megabyte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_sst2 import __version__
from pytest_sst2.report import charts, table
from pytest_sst2.report import comparison as compared
from pytest_sst2.report.cells import CellReport, Confusion
from pytest_sst2.report.contents import Report
from pytest_sst2.report.pages import page
from pytest_sst2.report.terminal import context_lines, warning_lines
from pytest_sst2.report.wording import counted, signed_points
from pytest_sst2.slices import SliceScore, moved_most

MOST_BYTES = 1_000_000
_MOST_DETAILED = 20
_MOST_FLIPS = 50
_MOST_MOVED = 10
_SIGNS = {"good": "✓", "bad": "✗", "unclear": "?"}
_LABELS = ("negative", "positive")
_MOVED_HEADERS = ("cell", "slice", "sentences", "before", "after", "Δ points", "p")
_NONE = table.NONE


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
    """Return the report as one HTML document of at most a megabyte; the cells that say least give way to that.

    Args:
        report: What every report says.
        cells: What is to be seen of each cell.
    """
    detailed = _MOST_DETAILED
    while True:
        text = _rendered(report, cells, detailed)
        if len(text.encode()) <= MOST_BYTES or detailed == 0:
            return text
        detailed //= 2


def _rendered(report: Report, cells: Sequence[CellReport], most_detailed: int) -> str:
    shown = _most_telling(cells)[:most_detailed]
    return page(
        "report.html.j2",
        report=report,
        version=__version__,
        sign=_SIGNS[report.standing],
        **_results(report, cells),
        **_comparison(report, cells),
        **_details(shown, len(cells) - len(shown), cells),
        **_environment(report),
    )


def _results(report: Report, cells: Sequence[CellReport]) -> dict[str, Any]:
    warnings = [*(f"ERROR: {problem}" for problem in report.problems)]
    warnings += [f"no number: {failure.cell}: {failure.error}" for failure in report.failures]
    return {
        "context": context_lines(report.records[0]) if report.records else ["no cell was measured"],
        "headers": [_Header(column.header, column.is_numeric, column.explained) for column in table.COLUMNS],
        "rows": [_result_row(row) for row in table.rows(report.records, report.failures)],
        "time_figures": charts.time_charts(cells),
        "training_figures": charts.training_charts(cells),
        "warnings": [*warnings, *warning_lines(report.records)],
    }


def _result_row(row: table.Row) -> _Row:
    values = tuple(
        _Value(text, column.is_numeric, column.number(row.record) if column.number and row.record else None)
        for column, text in zip(table.COLUMNS, row.cells, strict=True)
    )
    bad = row.cells[-1] in (table.FAILED, table.BELOW_FLOOR)
    return _Row(values, "bad" if bad else "good" if row.cells[-1] == "pass" else "")


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


def _details(shown: Sequence[CellReport], left_out: int, cells: Sequence[CellReport]) -> dict[str, Any]:
    moved = [(cell, score) for cell in cells for score in moved_most(cell.slices)]
    moved.sort(key=lambda each: (each[1].change.p_value, -abs(each[1].change.delta)))  # type: ignore[union-attr]
    details = [_detail(cell) for cell in shown]
    sections = [("results", "Results")]
    if any(cell.comparison for cell in cells):
        sections.append(("comparison", "Before and after"))
    if any(cell.records[0].epochs for cell in cells):
        sections.append(("training", "Training"))
    if details:
        sections.append(("details", "Cell by cell"))
    return {
        "details": details,
        "not_detailed": left_out,
        "moved_headers": _MOVED_HEADERS,
        "moved": [(cell.name, *_moved(score)) for cell, score in moved[:_MOST_MOVED]],
        "sections": [*sections, ("warnings", "Warnings"), ("reproduce", "How to reproduce")],
    }


def _moved(score: SliceScore) -> tuple[str, ...]:
    change = score.change
    assert change is not None  # noqa: S101 - only those that moved
    return (
        score.name,
        f"{score.examples:,}",
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        signed_points(change.delta),
        f"{change.p_value:.4f}",
    )


def _most_telling(cells: Sequence[CellReport]) -> list[CellReport]:
    """Return the cells, those that fail a comparison or a floor first, then those that changed, in their own order."""

    def rank(cell: CellReport) -> int:
        flags = cell.comparison.flags if cell.comparison else frozenset()
        if "regressed" in flags or not all(record.reaches_floor for record in cell.records):
            return 0
        return 1 if flags or (cell.comparison and cell.comparison.verdict == "improved") else 2

    return sorted(cells, key=rank)


def _detail(cell: CellReport) -> dict[str, Any]:
    is_compared = cell.is_compared
    slice_headers: tuple[str, ...] = ("", "slice", "sentences", "accuracy", "95 % interval")
    if is_compared:
        slice_headers = (*slice_headers[:3], "before", "after", "Δ points", "95 % interval", "p")
    return {
        "name": cell.name,
        "summary": _summary(cell),
        "confusion_headers": _confusion_headers(cell),
        "confusion": _confusion_rows(cell),
        "slice_figure": charts.slice_chart(cell),
        "slice_headers": slice_headers,
        "slices": [_slice_row(score) for score in cell.slices],
        "reliability": charts.reliability_chart(cell),
        "note": _note(cell),
        **_flips(cell),
    }


def _summary(cell: CellReport) -> str:
    seeds = counted(len(cell.records), "seed")
    if cell.comparison is None or cell.comparison.accuracy is None:
        return f"{cell.accuracy:.4f} · {seeds}"
    change = cell.comparison.accuracy
    return (
        f"{cell.comparison.verdict} · {change.before:.4f} → {change.after:.4f} ({signed_points(change.delta)} points) "
        f"· {seeds}"
    )


def _confusion_headers(cell: CellReport) -> tuple[str, ...]:
    answers = tuple(f"answered {label}" for label in _LABELS)
    if not cell.is_compared:
        return ("label", *answers)
    return ("label", *(f"{answer}, {side}" for answer in answers for side in ("before", "after")))


def _confusion_rows(cell: CellReport) -> list[tuple[str, ...]]:
    if cell.confusion is None:
        return []
    before = _counts(cell.confusion_before) if cell.confusion_before else None
    rows = []
    for number, (label, now) in enumerate(zip(_LABELS, _counts(cell.confusion), strict=True)):
        if before is None:
            rows.append((label, *(f"{count:,}" for count in now)))
        else:
            pairs = zip(before[number], now, strict=True)
            rows.append((label, *(f"{count:,}" for pair in pairs for count in pair)))
    return rows


def _counts(confusion: Confusion) -> tuple[tuple[int, int], tuple[int, int]]:
    return (
        (confusion.true_negative, confusion.false_positive),
        (confusion.false_negative, confusion.true_positive),
    )


def _slice_row(score: SliceScore) -> tuple[str, ...]:
    start = (score.group, score.name, f"{score.examples:,}")
    if score.change is None:
        return (*start, f"{score.accuracy:.4f}", f"{score.interval.low:.3f}–{score.interval.high:.3f}")
    low, high = score.change.interval
    return (
        *start,
        f"{score.change.before:.4f}",
        f"{score.change.after:.4f}",
        signed_points(score.change.delta),
        f"{signed_points(low)} to {signed_points(high)}",
        f"{score.change.p_value:.4f}",
    )


def _note(cell: CellReport) -> str:
    if cell.confusion is None:
        return "These results are of the first schema, which kept no labels: nothing more can be shown."
    if not cell.has_sentences:
        return (
            "The sentences are not shown: a record holds none, and the data that it was measured on is not at hand. "
            "pytest-sst2 report --data FOLDER names it."
        )
    return ""


def _flips(cell: CellReport) -> dict[str, Any]:
    title = "Answered otherwise than before" if cell.is_compared else "Answered wrong"
    if len(cell.flips) > _MOST_FLIPS:
        title += f": the worst {_MOST_FLIPS} of {len(cell.flips):,}"
    else:
        title += f": {counted(len(cell.flips), 'sentence')}"
    headers = ["sentence", "label", *(["before", "after"] if cell.is_compared else ["answer"])]
    numbers = ["P(positive) before", "P(positive) after"] if cell.is_compared else ["P(positive)"]
    rows = []
    for flip in cell.flips[:_MOST_FLIPS]:
        sides = [flip.before, flip.after] if flip.before is not None else [flip.after]
        where = f"row {flip.row}" + (f" of seed {flip.seed}" if flip.seed is not None else "")
        rows.append(
            [
                flip.sentence if flip.sentence is not None else where,
                _LABELS[flip.label],
                *(_answered(side.positive, side.seeds) for side in sides),
                *(f"{side.probability:.3f}" for side in sides),
            ]
        )
    return {"flips_title": title, "flip_headers": [*headers, *numbers], "flip_numbers": numbers, "flips": rows}


def _answered(positive: int, seeds: int) -> str:
    if positive in (0, seeds):
        return _LABELS[bool(positive)]
    return f"positive in {positive} of {seeds} seeds"


def _environment(report: Report) -> dict[str, Any]:
    if not report.records:
        return {"machine": [], "packages": []}
    environment = report.records[0].environment
    names = ("python", "implementation", "platform", "device", "device_name", "cpu_model", "cpu_cores", "threads")
    machine = [
        (name.replace("_", " "), str(getattr(environment, name)))
        for name in (*names, "workers", "blas", "matmul_precision", "deterministic")
    ]
    return {
        "machine": [*machine, *sorted(environment.variables.items())],
        "packages": sorted(environment.packages.items()),
    }
