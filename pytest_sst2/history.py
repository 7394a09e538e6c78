"""History: accuracy and time of every cell over the saved baselines, the oldest first."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pytest_sst2.pairing import by_cell, cell_name
from pytest_sst2.records import Record
from pytest_sst2.results_file import Results


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
        machine_seconds: That speed; None where it was not measured.
        seconds: ``work`` at the speed that the machine of the newest baseline has; None where that is not known.
    """

    baseline: str
    saved: str
    accuracy: float
    spread: float
    seeds: int
    work: float | None
    machine_seconds: float | None
    seconds: float | None = None


@dataclass(frozen=True)
class Series:
    """One cell over the baselines: one data set, one recipe, so that its points compare."""

    cell: str
    dataset: str
    recipe: str
    points: tuple[Point, ...]


def history(baselines: Sequence[Results]) -> list[Series]:
    """Return the series of every cell, the points in the order in which the baselines were saved.

    Cells of other data, split or recipe are series of their own. Times are those of the newest machine: each is
    divided by what a fixed piece of work took beside it, and multiplied by what that took last.

    Args:
        baselines: In any order; those whose file does not say when it was saved come first, by name.
    """
    found: dict[tuple[str, str, str], list[Point]] = {}
    for results in sorted(baselines, key=lambda each: (each.saved, each.origin)):
        for key, seeds in by_cell(results.records).items():
            records = tuple(seeds.values())
            data = records[0].dataset
            name = (cell_name(key), f"{data.name} {data.split}", records[0].recipe_label)
            found.setdefault(name, []).append(_point(results, records))
    return [Series(*name, tuple(_in_seconds(points))) for name, points in found.items()]


def _point(results: Results, records: Sequence[Record]) -> Point:
    accuracies = [record.accuracy for record in records]
    machines = [each.machine_seconds for record in records for each in record.rounds if each.machine_seconds]
    return Point(
        baseline=results.origin,
        saved=results.saved,
        accuracy=statistics.fmean(accuracies),
        spread=max(accuracies) - min(accuracies),
        seeds=len(records),
        work=_work(records),
        machine_seconds=statistics.median(machines) if machines else None,
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


def _in_seconds(points: Sequence[Point]) -> list[Point]:
    newest = next((point.machine_seconds for point in reversed(points) if point.machine_seconds), None)
    if newest is None:
        return list(points)
    return [replace(point, seconds=point.work * newest if point.work is not None else None) for point in points]
