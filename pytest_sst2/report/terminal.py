"""The summary at the end of a run: one line of context and one table."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2.records import Failure, Record
from pytest_sst2.session import Session

HEADERS = (
    "method",
    "model",
    "seed",
    "accuracy",
    "95 % interval",
    "floor",
    "Δ majority",
    "train s",
    "encode s",
    "predict s",
    "ex/s",
    "p50 ms",
    "peak MB",
    "verdict",
)
_NONE = "–"
_CACHED = "cached"


def summary_lines(session: Session) -> list[str]:
    """Return the whole summary: context, table, warnings, what was written, what went wrong."""
    lines = context_lines(session.records[0]) if session.records else ["no cell was measured"]
    lines += ["", *table(session.records, session.failures).split("\n"), ""]
    lines += warning_lines(session.records)
    lines += session.notes
    lines += [f"ERROR: {problem}" for problem in session.problems]
    return lines


def context_lines(record: Record) -> list[str]:
    """Return what all cells of a run have in common: data, recipe, device, type, versions; and the data's note."""
    data, environment = record.dataset, record.environment
    lines = [
        f"{data.name} ({_short(data.revision)}) {data.split} n={data.eval_size:,}, trained on {data.train_size:,} · "
        f"recipe {record.recipe_label} · {environment.device} × {environment.threads} threads · "
        f"{record.recipe.dtype} · Python {environment.python}, {environment.headline}"
    ]
    if data.note:
        lines.append(f"NOTE: {data.note}")
    return lines


def table(records: Sequence[Record], failures: Sequence[Failure] = ()) -> str:
    """Return the table: grouped by method in the order they ran, the best model of each first, failures last."""
    from tabulate import tabulate

    methods = list(dict.fromkeys([*(r.method for r in records), *(f.method for f in failures)]))
    rows: list[tuple[str, ...]] = []
    for method in methods:
        measured = sorted(
            (r for r in records if r.method == method), key=lambda r: (-r.accuracy, r.model or "", r.seed)
        )
        rows += [_row(record) for record in measured]
        rows += [_failure_row(failure) for failure in failures if failure.method == method]
    shown = [row if index == 0 or rows[index - 1][0] != row[0] else ("", *row[1:]) for index, row in enumerate(rows)]
    align = ["left", "left", *["right"] * (len(HEADERS) - 3), "left"]
    text: str = tabulate(shown, headers=HEADERS, tablefmt="simple", colalign=align, disable_numparse=True)
    return text


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


def _row(record: Record) -> tuple[str, ...]:
    low, high = record.accuracy_interval
    predict = next((phase for phase in record.phases if phase.name == "predict"), None)
    return (
        record.method,
        record.model or _NONE,
        str(record.seed),
        f"{record.accuracy:.4f}",
        f"{low:.3f}–{high:.3f}",
        f"{record.floor.accuracy:.4f}" if record.floor else _NONE,
        f"{100 * (record.accuracy - record.majority_accuracy):+.1f} pt",
        _seconds(record, "train", "fit"),
        _seconds(record, "encode"),
        _seconds(record, "predict"),
        _count(predict.examples_per_second if predict else None),
        f"{1000 * record.latency.p50_seconds:.1f}",
        _megabytes(record),
        _verdict(record),
    )


def _failure_row(failure: Failure) -> tuple[str, ...]:
    blanks = [_NONE] * (len(HEADERS) - 4)
    return (failure.method, failure.model or _NONE, str(failure.seed), *blanks, "FAILED")


def _verdict(record: Record) -> str:
    if record.floor is None:
        return "pass (no floor)"
    return "pass" if record.reaches_floor else "BELOW FLOOR"


def _short(revision: str) -> str:
    """Return enough of a commit or digest to recognise it."""
    return revision if revision.startswith("sha256:") else revision[:12]


def _seconds(record: Record, *names: str) -> str:
    """Return the seconds of phases; those of a phase whose result came from a cache say nothing and are not shown."""
    if any(phase.cached for phase in record.phases if phase.name in names):
        return _CACHED
    value = record.seconds(*names)
    return _NONE if value is None else f"{value:.2f}"


def _count(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _megabytes(record: Record) -> str:
    resident = f"{record.peak_bytes / 2**20:,.0f}"
    if record.device_peak_bytes is None:
        return resident
    return f"{resident} + {record.device_peak_bytes / 2**20:,.0f} GPU"
