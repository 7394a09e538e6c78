"""Render the table as CSV for spreadsheets and scripts: one row per record, plain numbers, units in the headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from pytest_sst2.compare.comparison import CellComparison
from pytest_sst2.report.results_table import FAILED, floor_verdict, seconds_of
from pytest_sst2.report.summary import Report
from pytest_sst2.results.record import Record
from pytest_sst2.utils.sanitize import printable

# A spreadsheet reads a text with such a beginning as a formula, also in full-width characters. It may skip blanks
# before it, and may end a cell at a semicolon if the comma is its decimal separator.
_FORMULA = re.compile(r"(^|[;\t\n])([^\S\t\n]*[=+\-@＝＋－＠])")

_RECORD_COLUMNS: dict[str, Callable[[Record], Any]] = {
    "cell": lambda record: record.cell,
    "model": lambda record: record.model,
    "method": lambda record: record.method,
    "seed": lambda record: record.seed,
    "dataset": lambda record: record.dataset.name,
    "split": lambda record: record.dataset.split,
    "recipe": lambda record: record.recipe_label,
    "accuracy": lambda record: round(record.accuracy, 6),
    "accuracy_low": lambda record: record.accuracy_interval.low,
    "accuracy_high": lambda record: record.accuracy_interval.high,
    "correct": lambda record: record.correct,
    "total": lambda record: record.total,
    "floor": lambda record: record.floor.accuracy if record.floor else None,
    "majority_accuracy": lambda record: round(record.majority_accuracy, 6),
    "train_seconds": seconds_of("train", "fit"),
    "encode_seconds": seconds_of("encode"),
    "predict_seconds": seconds_of("predict"),
    "cached_phases": lambda record: " ".join(phase.name for phase in record.phases if phase.cached),
    "latency_p50_seconds": lambda record: record.latency.p50_seconds,
    "latency_p95_seconds": lambda record: record.latency.p95_seconds,
    "peak_bytes": lambda record: record.peak_bytes,
    "device_peak_bytes": lambda record: record.device_peak_bytes,
    "device": lambda record: record.environment.device,
    "verdict": floor_verdict,
}


def _time_ratio(cell: CellComparison) -> float | None:
    overall = cell.speed_and_memory.overall if cell.speed_and_memory else None
    return overall.ratio if overall else None


_COMPARISON_COLUMNS: dict[str, Callable[[CellComparison], Any]] = {
    "compared": lambda cell: cell.verdict,
    "compared_seeds": lambda cell: " ".join(map(str, cell.seeds)),
    "delta": lambda cell: cell.accuracy and round(cell.accuracy.delta, 6),
    "at_worst": lambda cell: cell.accuracy and round(cell.accuracy.at_worst, 6),
    "at_best": lambda cell: cell.accuracy and round(cell.accuracy.at_best, 6),
    "p_adjusted": lambda cell: cell.adjusted_p,
    "time_ratio": _time_ratio,
    "causes": lambda cell: "; ".join(map(str, cell.causes)),
}
_ERROR_COLUMN = "error"


def csv_text(report: Report) -> str:
    """Return the table as CSV (RFC 4180): the records, then the cells without a number and their errors.

    A text that a spreadsheet would read as a formula gets an apostrophe before it; numbers stay numbers. A comparison
    is about all seeds of a cell, so each of their rows repeats it.
    """
    compared = {(cell.model, cell.method): cell for cell in report.comparison.cells} if report.comparison else {}
    headers = [*_RECORD_COLUMNS, *(_COMPARISON_COLUMNS if report.comparison else ()), _ERROR_COLUMN]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, headers, restval="", lineterminator="\r\n")
    writer.writeheader()
    for record in report.records:
        row = {name: value(record) for name, value in _RECORD_COLUMNS.items()}
        if (cell := compared.get((record.model, record.method))) is not None:
            row |= {name: value(cell) for name, value in _COMPARISON_COLUMNS.items()}
        writer.writerow(_safe(row))
    for failure in report.failures:
        fields = {"cell": failure.cell, "model": failure.model, "method": failure.method, "seed": failure.seed}
        writer.writerow(_safe({**fields, "verdict": FAILED, _ERROR_COLUMN: failure.error}))
    return file.getvalue()


def _safe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _escape_formula(printable(value)) if isinstance(value, str) else value for name, value in row.items()}


def _escape_formula(text: str) -> str:
    safe = _FORMULA.sub(r"\1'\2", text)
    # A spreadsheet may skip these too.
    return f"'{safe}" if safe.startswith(("\t", "\n")) else safe
