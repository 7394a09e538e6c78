"""Floors: the minimum accuracy of each cell, and its provenance.

A floors file is TOML with one ``[[floor]]`` table per cell::

    [[floor]]
    dataset = "pocket"
    recipe = "quick"
    model = "minilm"            # omitted for methods without a model
    method = "linear-probe"
    accuracy = 0.79
    tolerance = 2               # optional: points that a comparison accepts to lose; default: --sst2-tolerance
    sd = 0.0041                 # optional: of the accuracies that the floor was calibrated with
    seeds = 5                   # optional: their number
    provenance = "measured: mean 0.8225, sd 0.0041 over 5 seeds; torch 2.13.0, ..."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.locks import one_at_a_time
from pytest_sst2.utils.safe_read import read_text

MINIMUM_SEEDS = 5
# A floor is mean - max(2 sd, 1.5 points). One unchanged run in forty is more than two sd below the mean.
# With few seeds the sd is uncertain, so the margin is at least 1.5 points: 1.6 standard errors of 872 examples at 92%.
LEAST_MARGIN = 0.015
# About 3,000 floors. In the worst case, TOML is parsed at about 100 KB per second.
_LARGEST_BYTES = 2**20


class FloorKey(NamedTuple):
    """The cell that a floor applies to. ``model`` is empty for methods without a model."""

    dataset: str
    recipe: str
    model: str
    method: str

    def __str__(self) -> str:
        return " × ".join(part for part in (self.dataset, self.recipe, self.model, self.method) if part)


@dataclass(frozen=True)
class Floor:
    """A minimum accuracy (0 to 1) and its provenance.

    Attributes:
        tolerance: The drop of accuracy that a comparison accepts in this cell, as a share; None for that of the run.
        sd: Standard deviation of the accuracies that it was calibrated with, as a share; None if not recorded.
        seeds: Number of these accuracies; None if not recorded.
    """

    accuracy: float
    provenance: str
    tolerance: float | None = None
    sd: float | None = None
    seeds: int | None = None


@dataclass(frozen=True)
class Floors:
    """The floors of one file."""

    by_key: Mapping[FloorKey, Floor]
    origin: str = ""

    def find(self, key: FloorKey) -> Floor | None:
        """Return the floor of exactly this data set, recipe label, model and method; None without one."""
        return self.by_key.get(key)

    @property
    def datasets(self) -> frozenset[str]:
        """The names of the data sets with a floor."""
        return frozenset(key.dataset for key in self.by_key)

    def __len__(self) -> int:
        return len(self.by_key)


def load_floors(path: Path) -> Floors:
    """Read a floors file.

    Raises:
        Sst2Error: The file does not exist or is not TOML, or an entry lacks a key, repeats another entry, or has an
            accuracy outside 0 to 1. The message names the file and the entry.
    """
    import tomllib

    if not path.exists():
        raise Sst2Error(
            f"floors file {str(path)!r} does not exist. Name one with --sst2-floors FILE, or measure it: "
            "--sst2-calibrate-floors --sst2-seeds 1,2,3,4,5."
        )
    text = read_text(path, _LARGEST_BYTES)
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError also where a number has more than 4,300 digits
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else truncate(str(error), 200)
        raise Sst2Error(f"floors file {str(path)!r} is not valid TOML: {reason}.") from error
    entries = document.get("floor", [])
    if not isinstance(entries, list) or set(document) - {"floor"}:
        names = truncate(", ".join(sorted(document)), 200)
        raise Sst2Error(f"floors file {str(path)!r} may have [[floor]] tables only; it has {names}.")
    floors: dict[FloorKey, Floor] = {}
    for number, entry in enumerate(entries, 1):
        key, floor = _parse(entry, f"{path}, [[floor]] number {number}")
        if key in floors:
            raise Sst2Error(
                f"{path}, [[floor]] number {number}: a second floor for {truncate(str(key), 200)}. Keep one."
            )
        floors[key] = floor
    return Floors(floors, str(path))


def _parse(entry: Any, where: str) -> tuple[FloorKey, Floor]:
    if not isinstance(entry, dict):
        raise Sst2Error(f"{where}: expected a table, not {type(entry).__name__}.")
    required = ("dataset", "recipe", "method", "accuracy", "provenance")
    for name in required:
        if name not in entry:
            raise Sst2Error(f"{where}: {name!r} is missing. Every floor needs {', '.join(required)}.")
    optional = ("model", "tolerance", "sd", "seeds")
    if unknown := set(entry) - {*required, *optional}:
        allowed = ", ".join((*required, *optional))
        raise Sst2Error(f"{where}: unknown key {quoted(min(unknown))}. Allowed: {allowed}.")
    texts = {name: entry.get(name, "") for name in ("dataset", "recipe", "model", "method", "provenance")}
    for name, value in texts.items():
        if not isinstance(value, str):
            raise Sst2Error(f"{where}: {name!r} must be text, not {quoted(value)}.")
    accuracy = _number(entry, "accuracy", 1, where)
    tolerance = _number(entry, "tolerance", 100, where) / 100 if "tolerance" in entry else None
    sd = _number(entry, "sd", 1, where) if "sd" in entry else None
    seeds = entry.get("seeds")
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise Sst2Error(f"{where}: seeds must be a whole number of at least 1, not {quoted(seeds)}.")
    key = FloorKey(texts["dataset"], texts["recipe"], texts["model"], texts["method"])
    return key, Floor(accuracy, texts["provenance"], tolerance, sd, seeds)


def _number(entry: Mapping[str, Any], name: str, most: int, where: str) -> float:
    """Return the number of an entry.

    Raises:
        Sst2Error: It is not a number from 0 to ``most``.
    """
    value = entry[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise Sst2Error(f"{where}: {name} must be a number from 0 to {most}, not {quoted(value)}.")
    return float(value)


def calibrated_floor(accuracies: Mapping[int, float], versions: str, date: str) -> Floor:
    """Return the floor from the accuracies of at least two seeds; ``versions`` and ``date`` are for its provenance.

    The floor is mean − max(2 sd, 1.5 points), rounded down to four digits; sd is the sample standard deviation.
    """
    import statistics

    mean, deviation = statistics.mean(accuracies.values()), statistics.stdev(accuracies.values())
    same = "" if deviation else " (every seed gives the same accuracy)"
    floor = max(0.0, mean - max(2 * deviation, LEAST_MARGIN))
    seeds = ",".join(map(str, sorted(accuracies)))
    return Floor(
        int(floor * 10_000) / 10_000,
        f"measured {date}: mean {mean:.4f}, sd {deviation:.4f} over seeds {seeds}{same}; {versions}",
        sd=round(deviation, 6),
        seeds=len(accuracies),
    )


class Lowered(NamedTuple):
    """A floor that a calibration would lower: the accuracy in the file, and the measured one."""

    key: FloorKey
    standing: float
    measured: float


def write_floors(path: Path, new: Iterable[tuple[FloorKey, Floor]], *, overwrite: bool = False) -> list[Lowered]:
    """Write floors to a file: add new entries, raise existing ones, and keep all others and the comments.

    A floor is lowered only with ``overwrite``. The file is replaced atomically, and a lock makes two runs that
    write at the same time keep each other's floors. Return the floors that stay because the new ones are lower.
    """
    import tomlkit

    with one_at_a_time(path):
        document = tomlkit.parse(read_text(path, _LARGEST_BYTES)) if path.exists() else tomlkit.document()
        tables = _tables(document)
        by_key = {_parse(table.unwrap(), str(path))[0]: table for table in tables}
        lowered = []
        for key, floor in sorted(new):
            table = by_key.get(key)
            if table is None:
                tables.append(_new_table(key, floor))
            elif floor.accuracy < table["accuracy"] and not overwrite:
                lowered.append(Lowered(key, float(table["accuracy"]), floor.accuracy))
            else:
                _set_floor(table, floor)
        # tomlkit appends tables without an empty line between them.
        write_atomically(path, re.sub(r"(?<=[^\n])\n\[\[floor\]\]", "\n\n[[floor]]", tomlkit.dumps(document)))
        return lowered


def _tables(document: Any) -> Any:
    """Return the array of ``[[floor]]`` tables of a document, to which tables can be appended."""
    import tomlkit
    from tomlkit.items import AoT

    tables = document.setdefault("floor", tomlkit.aot())
    if not isinstance(tables, AoT):  # an inline array cannot be appended to
        expanded = tomlkit.aot()
        for entry in tables.unwrap():
            expanded.append(tomlkit.item(entry))
        document["floor"] = tables = expanded
    return tables


def _new_table(key: FloorKey, floor: Floor) -> Any:
    import tomlkit

    table = tomlkit.table()
    for name, value in key._asdict().items():
        if value:
            table[name] = value
    _set_floor(table, floor)
    return table


def _set_floor(table: Any, floor: Floor) -> None:
    table["accuracy"] = floor.accuracy
    for name, value in (("sd", floor.sd), ("seeds", floor.seeds)):
        if value is None:
            table.pop(name, None)
        else:
            table[name] = value
    table["provenance"] = floor.provenance
