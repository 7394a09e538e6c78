"""Calibration: write floors from the accuracies of several seeds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pytest_sst2.results.floors import MINIMUM_SEEDS, FloorKey, calibrated_floor, write_floors
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural


class Calibration(NamedTuple):
    """Notes and problems of a calibration, for the summary of the run."""

    notes: list[str]
    problems: list[str]


def calibrate_floors(records: Iterable[Record], path: Path, *, overwrite: bool) -> Calibration:
    """Write one floor for each model and method of a run, and note each with the mean and sd that it comes from.

    Problems are: a method with too few seeds, a floor that would be lowered without ``overwrite``, and a file that
    cannot be written.
    """
    groups: dict[FloorKey, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.floor_key].append(record)
    today = datetime.now(UTC).date().isoformat()
    floors, problems = [], []
    for key, group in groups.items():
        by_seed = {record.seed: record.accuracy for record in group}
        if len(by_seed) < MINIMUM_SEEDS:
            problems.append(f"no floor for {key}: {len(by_seed)} of {MINIMUM_SEEDS} seeds were measured.")
        else:
            floors.append((key, calibrated_floor(by_seed, group[0].environment.headline, today)))
    if not floors:
        return Calibration([], problems)
    try:
        lowered = write_floors(path, floors, overwrite=overwrite)
    except Sst2Error as error:
        return Calibration([], [*problems, str(error)])
    problems += [
        f"the floor of {low.key} stays {low.standing:.4f}: these seeds would lower it to {low.measured:.4f}. "
        "--sst2-overwrite lowers it."
        for low in lowered
    ]
    kept = {low.key for low in lowered}
    notes = [f"floor of {key}: {floor.accuracy:.4f}, {floor.provenance}" for key, floor in floors if key not in kept]
    return Calibration([*notes, f"{plural(len(notes), 'floor')} in {path}"], problems)
