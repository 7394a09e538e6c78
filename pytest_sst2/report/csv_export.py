"""Render the table as CSV for spreadsheets and scripts: one row per cell, plain numbers, units in the headers."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.report.results_table import Row, cell_rows
from pytest_sst2.report.summary import Report
from pytest_sst2.report.within_run_text import against
from pytest_sst2.results.record import Record
from pytest_sst2.utils.sanitize import printable

# A spreadsheet reads a text with such a beginning as a formula, also in full-width characters. It may skip blanks
# before it, and may end a cell at a semicolon if the comma is its decimal separator.
_FORMULA = re.compile(r"(^|[;\t\n])([^\S\t\n]*[=+\-@＝＋－＠])")


def _of_first(value: Callable[[Record], Any]) -> Callable[[Row], Any]:
    """Return a column of a value that all seeds of a cell share."""
    return lambda row: value(row.records[0]) if row.records else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


_ROW_COLUMNS: dict[str, Callable[[Row], Any]] = {
    "cell": lambda row: row.name,
    "model": lambda row: row.model,
    "method": lambda row: row.method,
    "seeds": lambda row: " ".join(str(record.seed) for record in row.records),
    "dataset": _of_first(lambda record: record.dataset.name),
    "split": _of_first(lambda record: record.dataset.split),
    "recipe": _of_first(lambda record: record.recipe_label),
    "accuracy": lambda row: _rounded(row.accuracy),
    "accuracy_sd": lambda row: _rounded(row.accuracy_sd),
    "accuracy_of_seeds": lambda row: " ".join(f"{record.accuracy:.6g}" for record in row.records),
    "sentences": _of_first(lambda record: record.total),
    "floor": lambda row: row.floor,
    "majority_accuracy": _of_first(lambda record: round(record.majority_accuracy, 6)),
    "seconds": lambda row: row.seconds(),
    "train_seconds": lambda row: row.seconds("train", "fit"),
    "encode_seconds": lambda row: row.seconds("encode"),
    "predict_seconds": lambda row: row.seconds("predict"),
    "cached_phases": lambda row: " ".join(
        dict.fromkeys(phase.name for record in row.records for phase in record.phases if phase.cached)
    ),
    "latency_p50_seconds": lambda row: row.latency,
    "peak_bytes": lambda row: row.peak_bytes,
    "device_peak_bytes": lambda row: row.device_peak_bytes,
    "device": _of_first(lambda record: record.environment.device),
    "floor_verdict": lambda row: row.verdict,
    "error": lambda row: "; ".join(f"seed {failure.seed}: {failure.error}" for failure in row.failures),
}


def _change(name: str) -> Callable[[CellComparison], Any]:
    return lambda cell: cell.accuracy and round(getattr(cell.accuracy, name), 6)


def _time_ratio(cell: CellComparison) -> float | None:
    overall = cell.speed_and_memory.overall if cell.speed_and_memory else None
    return overall.ratio if overall else None


_COMPARISON_COLUMNS: dict[str, Callable[[CellComparison], Any]] = {
    "verdict": lambda cell: cell.verdict,
    "compared_seeds": lambda cell: " ".join(map(str, cell.seeds)),
    "before": _change("before"),
    "after": _change("after"),
    "delta": _change("delta"),
    "at_worst": _change("at_worst"),
    "at_best": _change("at_best"),
    "tolerance": lambda cell: cell.tolerance,
    "failed_seeds": lambda cell: " ".join(str(failed.seed) for failed in cell.failed_seeds),
    "would_decide": lambda cell: cell.would_decide,
    "time_ratio": _time_ratio,
    "causes": lambda cell: "; ".join(map(str, cell.causes)),
}


def _of_pairs(value: Callable[[CellComparison], Any]) -> Callable[[Sequence[CellComparison]], Any]:
    """Return a column of a value of each pair of a cell; of several pairs the texts, joined."""

    def column(pairs: Sequence[CellComparison]) -> Any:
        values = [value(pair) for pair in pairs]
        return values[0] if len(values) == 1 else "; ".join("" if one is None else str(one) for one in values)

    return column


_PAIR_COLUMNS: dict[str, Callable[[Sequence[CellComparison]], Any]] = {
    "against": _of_pairs(against),
    "against_verdict": _of_pairs(lambda pair: pair.verdict),
    "against_delta": _of_pairs(_change("delta")),
    "against_at_worst": _of_pairs(_change("at_worst")),
    "against_at_best": _of_pairs(_change("at_best")),
}


def csv_text(report: Report) -> str:
    """Return the table as CSV (RFC 4180), a row per cell: its mean over the seeds, and each seed in their order.

    A text that a spreadsheet would read as a formula gets an apostrophe before it; numbers stay numbers.
    """
    compared = {cell.name: cell for cell in report.comparison.cells} if report.comparison else {}
    pairs = report.within.cells if report.within else ()
    headers = [*_ROW_COLUMNS, *(_COMPARISON_COLUMNS if report.comparison else ()), *(_PAIR_COLUMNS if pairs else ())]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, headers, restval="", lineterminator="\r\n")
    writer.writeheader()
    for row in cell_rows(report.records, report.failures):
        values = {name: value(row) for name, value in _ROW_COLUMNS.items()}
        if (cell := compared.get(row.name)) is not None:
            values |= {name: value(cell) for name, value in _COMPARISON_COLUMNS.items()}
        if of_row := [pair for pair in pairs if pair.name == row.name]:
            values |= {name: value(of_row) for name, value in _PAIR_COLUMNS.items()}
        writer.writerow(_safe(values))
    return file.getvalue()


def _safe(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _escape_formula(printable(value)) if isinstance(value, str) else value for name, value in row.items()}


def _escape_formula(text: str) -> str:
    safe = _FORMULA.sub(r"\1'\2", text)
    # A spreadsheet may skip these too.
    return f"'{safe}" if safe.startswith(("\t", "\n")) else safe
