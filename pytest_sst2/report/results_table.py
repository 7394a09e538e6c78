"""Define the columns and rows of a run's table, for every report that has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_sst2.report.text_table import NONE
from pytest_sst2.results.record import Failure, Record

CACHED = "cached"
FAILED = "FAILED"
BELOW_FLOOR = "BELOW FLOOR"


@dataclass(frozen=True)
class Column:
    """One column of the table: its text for a record, and the number to sort by; None for a column of text."""

    header: str
    text: Callable[[Record], str]
    number: Callable[[Record], float | None] | None = None
    tooltip: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether the values are numbers."""
        return self.number is not None


def seconds_of(*names: str) -> Callable[[Record], float | None]:
    """Return a function from a record to the seconds of some phases; None for phases whose result was cached."""

    def seconds(record: Record) -> float | None:
        cached = any(phase.cached for phase in record.phases if phase.name in names)
        return None if cached else record.seconds(*names)

    return seconds


def _seconds_text(*names: str) -> Callable[[Record], str]:
    seconds = seconds_of(*names)

    def text(record: Record) -> str:
        if any(phase.cached for phase in record.phases if phase.name in names):
            return CACHED
        value = seconds(record)
        return NONE if value is None else f"{value:.2f}"

    return text


def _examples_per_second(record: Record) -> float | None:
    return next((phase.examples_per_second for phase in record.phases if phase.name == "predict"), None)


def _count(record: Record) -> str:
    value = _examples_per_second(record)
    return NONE if value is None else f"{value:,.0f}"


def _over_majority(record: Record) -> float:
    return 100 * (record.accuracy - record.majority_accuracy)


def _megabytes(record: Record) -> str:
    resident = f"{record.peak_bytes / 2**20:,.0f}"
    if record.device_peak_bytes is None:
        return resident
    return f"{resident} + {record.device_peak_bytes / 2**20:,.0f} GPU"


def floor_verdict(record: Record) -> str:
    """Return whether a record reaches its floor, in the words of the table."""
    if record.floor is None:
        return "no floor"
    return "pass" if record.reaches_floor else BELOW_FLOOR


COLUMNS = (
    Column("method", lambda record: record.method),
    Column("model", lambda record: record.model or NONE),
    Column("seed", lambda record: str(record.seed), lambda record: record.seed),
    Column(
        "accuracy",
        lambda record: f"{record.accuracy:.4f}",
        lambda record: record.accuracy,
        "fraction of sentences classified correctly",
    ),
    Column(
        "95 % interval",
        lambda record: f"{record.accuracy_interval.low:.3f}–{record.accuracy_interval.high:.3f}",
        lambda record: record.accuracy_interval.low,
        "Wilson's score interval of the accuracy",
    ),
    Column(
        "floor",
        lambda record: f"{record.floor.accuracy:.4f}" if record.floor else NONE,
        lambda record: record.floor.accuracy if record.floor else None,
        "lowest accuracy that passes",
    ),
    Column(
        "Δ majority",
        lambda record: f"{_over_majority(record):+.1f} pt",
        _over_majority,
        "percentage points above always predicting the more frequent class",
    ),
    Column("train s", _seconds_text("train", "fit"), seconds_of("train", "fit"), "seconds to train or fit"),
    Column("encode s", _seconds_text("encode"), seconds_of("encode"), "seconds to embed the training sentences"),
    Column(
        "predict s", _seconds_text("predict"), seconds_of("predict"), "seconds to classify all evaluation sentences"
    ),
    Column("ex/s", _count, _examples_per_second, "sentences classified per second, in batches"),
    Column(
        "p50 ms",
        lambda record: f"{1000 * record.latency.p50_seconds:.1f}",
        lambda record: 1000 * record.latency.p50_seconds,
        "milliseconds to classify one sentence, the median",
    ),
    Column(
        "peak MB",
        _megabytes,
        lambda record: record.peak_bytes / 2**20,
        "peak resident memory of the process, and of the GPU if there is one",
    ),
    Column("verdict", floor_verdict),
)
HEADERS = tuple(column.header for column in COLUMNS)
NUMERIC = tuple(column.header for column in COLUMNS if column.is_numeric)


@dataclass(frozen=True)
class Row:
    """One row: the texts of its columns, and its record; None for a failure."""

    cells: tuple[str, ...]
    record: Record | None


def rows(records: Sequence[Record], failures: Sequence[Failure] = ()) -> list[Row]:
    """Return the rows: methods in the order in which they ran, the most accurate model first, failures last."""
    methods = dict.fromkeys([*(record.method for record in records), *(failure.method for failure in failures)])
    table_rows: list[Row] = []
    for method in methods:
        measured = [record for record in records if record.method == method]
        measured.sort(key=lambda record: (-record.accuracy, record.model or "", record.seed))
        table_rows += [Row(tuple(column.text(record) for column in COLUMNS), record) for record in measured]
        table_rows += [_failure_row(failure) for failure in failures if failure.method == method]
    return table_rows


def _failure_row(failure: Failure) -> Row:
    blanks = [NONE] * (len(COLUMNS) - 4)
    return Row((failure.method, failure.model or NONE, str(failure.seed), *blanks, FAILED), None)
