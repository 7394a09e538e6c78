"""Define the columns and rows of a run's table, for every report that has one: a row per cell, or per seed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_sst2.compare.pairing import by_cell
from pytest_sst2.config.specs import cell_name
from pytest_sst2.report.text_table import NONE
from pytest_sst2.results.record import Failure, Record

CACHED = "cached"
FAILED = "FAILED"
BELOW_FLOOR = "BELOW FLOOR"
_MOST_LISTED_SEEDS = 3
_LOADING = "load"


@dataclass(frozen=True)
class Row:
    """One row: a cell with the records of its seeds, or one seed, and the failures of the others."""

    model: str | None
    method: str
    records: tuple[Record, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def name(self) -> str:
        """``minilm × linear-probe``."""
        return cell_name((self.model, self.method))

    @property
    def accuracy(self) -> float | None:
        """The mean over the seeds; None without a record."""
        return statistics.fmean(record.accuracy for record in self.records) if self.records else None

    @property
    def accuracy_sd(self) -> float | None:
        """The standard deviation over the seeds; None for fewer than two."""
        return statistics.stdev(record.accuracy for record in self.records) if len(self.records) > 1 else None

    @property
    def floor(self) -> float | None:
        """The minimum accuracy, which is the same for all seeds; None without one. A floor of zero asks for nothing."""
        floor = self.records[0].floor if self.records else None
        return floor.accuracy if floor and floor.accuracy > 0 else None

    @property
    def seeds(self) -> str:
        """Up to three seeds, or their number."""
        return seeds_text([*(record.seed for record in self.records), *(failure.seed for failure in self.failures)])

    @property
    def verdict(self) -> str:
        """Whether every seed has a number and reaches its floor, in the words of the table."""
        total = len(self.records) + len(self.failures)
        below = sum(not record.reaches_floor for record in self.records)
        for count, word in ((len(self.failures), FAILED), (below, BELOW_FLOOR)):
            if count:
                return word if total == 1 else f"{count} of {total} {word}"
        return "no floor" if self.floor is None else "pass"

    @property
    def is_bad(self) -> bool:
        """Whether a seed has no number or misses its floor."""
        return self.verdict.endswith((FAILED, BELOW_FLOOR))

    def seconds(self, *names: str) -> float | None:
        """Return the seconds of the named phases (none: all but loading), the median over the seeds.

        None if no phase of this name ran, or if a seed took its result from the cache.
        """
        if not self.records or self.is_cached(*names):
            return None
        sums = [
            [phase.seconds for phase in record.phases if (phase.name in names if names else phase.name != _LOADING)]
            for record in self.records
        ]
        return statistics.median(map(sum, sums)) if all(sums) else None

    def is_cached(self, *names: str) -> bool:
        """Return whether a seed took the result of a named phase (none: of any) from the cache."""
        phases = (phase for record in self.records for phase in record.phases)
        return any(phase.cached and (phase.name in names or not names) for phase in phases)

    @property
    def latency(self) -> float | None:
        """Seconds for one sentence, the median over the seeds."""
        return statistics.median(record.latency.p50_seconds for record in self.records) if self.records else None

    @property
    def peak_bytes(self) -> int | None:
        """The highest resident memory of any seed."""
        return max((record.peak_bytes for record in self.records), default=None)

    @property
    def device_peak_bytes(self) -> int | None:
        """The highest memory on the accelerator of any seed; None without one."""
        return max((record.device_peak_bytes or 0 for record in self.records), default=0) or None

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts under ``HEADERS``."""
        return tuple(column.text(self) for column in COLUMNS)


@dataclass(frozen=True)
class Column:
    """One column of the table: its text for a row, and the number to sort by; None for a column of text."""

    header: str
    text: Callable[[Row], str]
    number: Callable[[Row], float | None] | None = None
    tooltip: str = ""


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _accuracy(row: Row) -> str:
    return _number(row.accuracy, ".4f") + (f" ± {row.accuracy_sd:.4f}" if row.accuracy_sd is not None else "")


def _time(header: str, tooltip: str, *names: str) -> Column:
    def text(row: Row) -> str:
        return CACHED if row.is_cached(*names) else _number(row.seconds(*names), ".2f")

    return Column(header, text, lambda row: row.seconds(*names), tooltip)


def _megabytes(row: Row) -> str:
    if row.peak_bytes is None:
        return NONE
    device = f" + {row.device_peak_bytes / 2**20:,.0f} GPU" if row.device_peak_bytes else ""
    return f"{row.peak_bytes / 2**20:,.0f}{device}"


COLUMNS = (
    Column("cell", lambda row: row.name),
    Column("seeds", lambda row: row.seeds),
    Column(
        "accuracy",
        _accuracy,
        lambda row: row.accuracy,
        "fraction of sentences classified correctly: the mean ± standard deviation over the seeds",
    ),
    Column(
        "floor",
        lambda row: _number(row.floor, ".4f"),
        lambda row: row.floor,
        "lowest accuracy that each seed must reach",
    ),
    _time("seconds", "seconds to train and to predict, without loading the model"),
    _time("train s", "seconds to train or fit", "train", "fit"),
    _time("encode s", "seconds to embed the training sentences", "encode"),
    _time("predict s", "seconds to classify all evaluation sentences", "predict"),
    Column(
        "p50 ms",
        lambda row: NONE if row.latency is None else f"{1000 * row.latency:.1f}",
        lambda row: row.latency,
        "milliseconds to classify one sentence, the median",
    ),
    Column(
        "peak MB",
        _megabytes,
        lambda row: row.peak_bytes,
        "peak resident memory of the process, and of the GPU if there is one",
    ),
    Column("verdict", lambda row: row.verdict),
)
HEADERS = tuple(column.header for column in COLUMNS)
NUMERIC = tuple(column.header for column in COLUMNS if column.number)


def cell_rows(records: Sequence[Record], failures: Sequence[Failure] = ()) -> list[Row]:
    """Return a row per cell: methods in the order in which they ran, the most accurate model first."""
    measured = by_cell(records)
    keys = dict.fromkeys([*measured, *((failure.model, failure.method) for failure in failures)])
    rows = [
        Row(
            *key,
            tuple(measured.get(key, {}).values()),
            tuple(failure for failure in failures if (failure.model, failure.method) == key),
        )
        for key in keys
    ]
    methods = list(dict.fromkeys(method for _, method in keys))
    return sorted(rows, key=lambda row: (methods.index(row.method), -(row.accuracy or 0)))


def seed_rows(rows: Sequence[Row]) -> list[Row]:
    """Return a row per seed of the cells that have several, in the order of the seeds in the results."""
    several = [row for row in rows if len(row.records) + len(row.failures) > 1]
    return [
        part
        for row in several
        for part in (
            *(Row(row.model, row.method, (record,)) for record in row.records),
            *(Row(row.model, row.method, (), (failure,)) for failure in row.failures),
        )
    ]


def seeds_text(seeds: Sequence[int]) -> str:
    """Return up to three seeds, or their number."""
    return ",".join(map(str, seeds)) if len(seeds) <= _MOST_LISTED_SEEDS else f"{len(seeds)} seeds"
