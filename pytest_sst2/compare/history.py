"""Follow the accuracy and time of every cell over the saved baselines, the oldest first."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.family import holm
from pytest_sst2.compare.pairing import by_cell
from pytest_sst2.config.options import ALPHA
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.commit import commits_label
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import DatasetInfo, Record


@dataclass(frozen=True)
class BaselinePoint:
    """One cell in one baseline.

    Attributes:
        saved: In ISO 8601; empty if the file has no date.
        accuracy: Mean over the seeds.
        spread: Highest minus lowest accuracy of the seeds; 0 for one seed.
        commit: The commit, or the commits, of the cell's records; empty if unknown.
        versions: The most important packages and their versions, of the first record.
        work: Time of training and predicting, without loading, in units of the machine's speed: the median over rounds
            and seeds. None if a part came from a cache, or the machine's speed was not measured.
        seconds: ``work`` at the speed of the machine of the newest baseline; None if that is unknown.
    """

    baseline: str
    saved: str
    accuracy: float
    spread: float
    seeds: int
    work: float | None
    seconds: float | None = None
    commit: str = ""
    versions: tuple[str, ...] = ()


@dataclass(frozen=True)
class AccuracyShift:
    """A baseline from which the accuracy of a cell differs.

    Attributes:
        baseline: The first baseline that differs.
        against: The baseline that it differs from: the one before it, or the first of all.
        delta: Accuracy minus that of ``against``, a fraction.
        p: Two-sided p-value after Holm's correction over the comparisons of the series.
        cause: What differs first in the chain from rows to predictions; empty if nothing is known to.
    """

    baseline: str
    against: str
    commit: str
    delta: float
    p: float
    cause: str


@dataclass(frozen=True)
class CellHistory:
    """One cell over the baselines, oldest first; data set, recipe and device are the same, so points are comparable.

    ``shifts`` are in the order of the points.
    """

    cell: str
    dataset: str
    recipe: str
    device: str
    points: tuple[BaselinePoint, ...]
    shifts: tuple[AccuracyShift, ...] = ()


def cell_histories(baselines: Sequence[Results]) -> list[CellHistory]:
    """Return the history of every cell, with points in the order in which the baselines were saved.

    A cell with other data, another split, recipe or device has a history of its own. Each time is divided by the speed
    of its own machine and multiplied by that of the newest baseline with the same device. Baselines without a date come
    first, sorted by name. ``ALPHA`` is the probability of any shift in the history of a cell that never changed.
    """
    series: dict[tuple[str, str, str, str], list[Results]] = {}
    points: dict[tuple[str, str, str, str], list[BaselinePoint]] = {}
    machine_seconds: dict[str, float] = {}
    for results in sorted(baselines, key=lambda baseline: (baseline.saved, baseline.origin)):
        for key, seeds in by_cell(results.records).items():
            records = tuple(seeds.values())
            device = records[0].environment.device
            name = (cell_name(key), _dataset_name(records[0].dataset), records[0].recipe_label, device)
            points.setdefault(name, []).append(_point(results, records))
            series.setdefault(name, []).append(replace(results, records=records, failures=()))
        machine_seconds |= _machine_seconds(results.records)
    return [
        CellHistory(
            *name,
            tuple(_in_seconds(point, machine_seconds.get(name[-1])) for point in of_cell),
            tuple(_shifts(series[name], of_cell)),
        )
        for name, of_cell in points.items()
    ]


def _shifts(series: Sequence[Results], points: Sequence[BaselinePoint]) -> Iterator[AccuracyShift]:
    """Yield where the accuracy differs from the baseline before, or where it has drifted away from the first.

    A baseline that differs from the first is a shift of its own only if no step before it explains that.
    """
    pairs = [(number - 1, number) for number in range(1, len(series))]
    pairs += [(0, number) for number in range(2, len(series))]
    changes = {pair: _change(series[pair[0]], series[pair[1]]) for pair in pairs}
    compared = {pair: change for pair, change in changes.items() if change is not None}
    adjusted = holm([change.p for change in compared.values()])
    shifted = {pair: p for pair, p in zip(compared, adjusted, strict=True) if p <= ALPHA}
    explained = False
    for number in range(1, len(series)):
        before = next((start for start in (number - 1, 0) if (start, number) in shifted), None)
        if before is None or (explained and before == 0 != number - 1):
            continue
        explained = True
        change = compared[before, number]
        yield AccuracyShift(
            series[number].origin,
            series[before].origin,
            points[number].commit,
            change.delta,
            shifted[before, number],
            change.cause,
        )


class _Change(NamedTuple):
    """The change of a cell between two baselines, with its two-sided p-value and its first cause."""

    delta: float
    p: float
    cause: str


def _change(before: Results, after: Results) -> _Change | None:
    """Return the change of the only cell of two results; None if it cannot be compared."""
    if _answers(before) == _answers(after):  # most baselines of a series: nothing to test
        return _Change(0.0, 1.0, "")
    cells = compare(before, after, tolerance=0.0, alpha=ALPHA).cells
    change = cells[0].accuracy if cells else None
    if change is None:
        return None
    cause = next((str(cause) for cause in cells[0].causes if not cause.is_note), "")
    return _Change(change.delta, min(1.0, 2 * min(change.p_worse, change.p_better)), cause)


def _answers(results: Results) -> dict[int, tuple[Sequence[int], Sequence[int]]]:
    return {record.seed: (record.labels, record.predictions) for record in results.records}


def _dataset_name(data: DatasetInfo) -> str:
    """Return a name that identifies the content: ``sst2`` is the same from any source, other names need a digest."""
    content = "" if data.name == "sst2" else f" ({data.revision})"
    return f"{data.name}{content} {data.split}"


def _machine_seconds(records: Sequence[Record]) -> dict[str, float]:
    """Return the machine's speed by device: the median over all rounds, in seconds for a fixed piece of work."""
    speeds: dict[str, list[float]] = {}
    for record in records:
        measured = [round_.machine_seconds for round_ in record.rounds]
        speeds.setdefault(record.environment.device, []).extend(filter(None, measured))
    return {device: statistics.median(seconds) for device, seconds in speeds.items() if seconds}


def _point(results: Results, records: Sequence[Record]) -> BaselinePoint:
    accuracies = [record.accuracy for record in records]
    return BaselinePoint(
        baseline=results.origin,
        saved=results.saved,
        accuracy=statistics.fmean(accuracies),
        spread=max(accuracies) - min(accuracies),
        seeds=len(records),
        work=_work(records),
        commit=commits_label(record.commit for record in records),
        versions=tuple(filter(None, records[0].environment.headline.split(", "))),
    )


def _work(records: Sequence[Record]) -> float | None:
    """Return the median time without loading, in units of the machine's speed; None if a phase was cached."""
    rounds = [round_ for record in records for round_ in record.rounds]
    if any(phase.cached for round_ in rounds for phase in round_.phases):
        return None
    units = [
        sum(phase.seconds for phase in round_.phases if phase.name != "load") / round_.machine_seconds
        for round_ in rounds
        if round_.machine_seconds and round_.phases
    ]
    return statistics.median(units) if units else None


def _in_seconds(point: BaselinePoint, machine_seconds: float | None) -> BaselinePoint:
    if point.work is None or machine_seconds is None:
        return point
    return replace(point, seconds=point.work * machine_seconds)
