"""Session: gathers the Records of a run on the controller, and at its end writes results and floors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.errors import Sst2Error
from pytest_sst2.files import write_atomically
from pytest_sst2.floors import MINIMUM_SEEDS, FloorKey, calibrated_floor, write_floors
from pytest_sst2.records import Failure, Record, record_from_json, results_text

if TYPE_CHECKING:
    from pytest_sst2.options import Settings


class Session:
    """What one run measured.

    Attributes:
        records: One a measured cell, whether it reached its floor or not.
        failures: One a cell without a number.
        notes: What the reader is told below the table: files written, cells that could not be calibrated.
        problems: The same for what must fail the run although no test failed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.records: list[Record] = []
        self.failures: list[Failure] = []
        self.notes: list[str] = []
        self.problems: list[str] = []

    def add(self, record: dict[str, Any]) -> None:
        """Take the JSON of a Record, as it travels in a test report."""
        self.records.append(record_from_json(record))

    def add_failure(self, failure: dict[str, Any]) -> None:
        """Take the JSON of a Failure."""
        self.failures.append(Failure(**failure))

    def finish(self) -> None:
        """Write what was asked for; what cannot be written is kept as a problem."""
        datasets = {(record.dataset.name, record.dataset.revision) for record in self.records}
        if len(datasets) > 1:
            names = ", ".join(f"{name} {revision}" for name, revision in sorted(datasets))
            self.problems.append(
                f"the cells of this run were measured on different data ({names}), so they cannot be compared. "
                "Name the data with --sst2-data."
            )
        if self.settings.json_path is not None:
            self._write(self.settings.json_path, results_text(self.records, self.failures))
        if self.settings.calibrate:
            self._calibrate()

    def _write(self, path: Path, text: str) -> None:
        try:
            write_atomically(path, text)
        except Sst2Error as error:
            self.problems.append(str(error))
        else:
            self.notes.append(f"{counted(len(self.records), 'record')} in {path}")

    def _calibrate(self) -> None:
        floors = []
        for key, records in _by_floor_key(self.records).items():
            by_seed = {record.seed: record.accuracy for record in records}
            if len(by_seed) < MINIMUM_SEEDS:
                self.problems.append(f"no floor for {key}: {len(by_seed)} of {MINIMUM_SEEDS} seeds were measured.")
            else:
                accuracies = list(by_seed.values())
                floors.append((key, calibrated_floor(accuracies, records[0].environment.headline)))
        if not floors:
            return
        try:
            write_floors(self.settings.floors_path, floors)
        except Sst2Error as error:
            self.problems.append(str(error))
        else:
            self.notes.append(f"{counted(len(floors), 'floor')} in {self.settings.floors_path}")


def counted(number: int, noun: str) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _by_floor_key(records: Iterable[Record]) -> dict[FloorKey, list[Record]]:
    groups: dict[FloorKey, list[Record]] = defaultdict(list)
    for record in records:
        groups[record.floor_key].append(record)
    return groups
