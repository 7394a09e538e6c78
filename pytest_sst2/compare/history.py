"""History: accuracy and time of every cell over the saved baselines, the oldest first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_sst2.compare.pairing import by_cell, cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import DatasetInfo, Record


@dataclass(frozen=True)
class Point:
    """One cell in one baseline.

    Attributes:
        baseline: Its name.
        saved: When it was saved, in ISO 8601; empty where the file does not say.
        accuracy: Mean over the seeds.
        spread: Highest less lowest accuracy of the seeds; 0 for one.
        seeds: How many there are.
        work: Time of training and predicting in units of the machine's speed, without loading; the median over rounds
            and seeds. None where a part of the work was taken from a cache, or the machine's speed was not measured.
        seconds: ``work`` at the speed that the machine of the newest baseline has; None where that is not known.
    """

    baseline: str
    saved: str
    accuracy: float
    spread: float
    seeds: int
    work: float | None
    seconds: float | None = None


@dataclass(frozen=True)
class Series:
    """One cell over the baselines: one data set, recipe and device, so that its points compare.

    Attributes:
        cell: Model and method.
        dataset: Its name and split; where its content is not that of SST-2, the content's digest too.
        recipe: The label.
        device: ``cpu``, ``cuda:0``, ...
        points: One a baseline, the oldest first.
    """

    cell: str
    dataset: str
    recipe: str
    device: str
    points: tuple[Point, ...]


def history(baselines: Sequence[Results]) -> list[Series]:
    """Return the series of every cell, the points in the order in which the baselines were saved.

    Cells of other data, split, recipe or device are series of their own. Times are those of the newest machine: each is
    divided by what a fixed piece of work took beside it, and multiplied by what that took in the newest baseline that
    was measured on such a device.

    Args:
        baselines: In any order; those whose file does not say when it was saved come first, by name.
    """
    found: dict[tuple[str, str, str, str], list[Point]] = {}
    machine: dict[str, float] = {}
    for results in sorted(baselines, key=lambda each: (each.saved, each.origin)):
        for key, seeds in by_cell(results.records).items():
            records = tuple(seeds.values())
            device = records[0].environment.device
            name = (cell_name(key), _data_name(records[0].dataset), records[0].recipe_label, device)
            found.setdefault(name, []).append(_point(results, records))
        machine |= _machines(results.records)
    return [
        Series(*name, tuple(_in_seconds(point, machine.get(name[-1])) for point in points))
        for name, points in found.items()
    ]


def _data_name(data: DatasetInfo) -> str:
    """Return what tells one content from another: ``sst2`` is one wherever it came from, other names are anybody's."""
    content = "" if data.name == "sst2" else f" ({data.revision})"
    return f"{data.name}{content} {data.split}"


def _machines(records: Sequence[Record]) -> dict[str, float]:
    """Return the machine's speed beside the cells of each device, the median over all of them."""
    found: dict[str, list[float]] = {}
    for record in records:
        speeds = [each.machine_seconds for each in record.rounds if each.machine_seconds]
        found.setdefault(record.environment.device, []).extend(speeds)
    return {device: statistics.median(speeds) for device, speeds in found.items() if speeds}


def _point(results: Results, records: Sequence[Record]) -> Point:
    accuracies = [record.accuracy for record in records]
    return Point(
        baseline=results.origin,
        saved=results.saved,
        accuracy=statistics.fmean(accuracies),
        spread=max(accuracies) - min(accuracies),
        seeds=len(records),
        work=_work(records),
    )


def _work(records: Sequence[Record]) -> float | None:
    rounds = [each for record in records for each in record.rounds]
    if any(phase.cached for each in rounds for phase in each.phases):
        return None
    found = [
        sum(phase.seconds for phase in each.phases if phase.name != "load") / each.machine_seconds
        for each in rounds
        if each.machine_seconds and each.phases
    ]
    return statistics.median(found) if found else None


def _in_seconds(point: Point, machine_seconds: float | None) -> Point:
    if point.work is None or machine_seconds is None:
        return point
    return replace(point, seconds=point.work * machine_seconds)
