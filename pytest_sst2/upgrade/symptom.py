"""Symptom: what an upgrade does that it should not, as something a set of changes shows or does not show."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pytest_sst2.compare.comparison import CellComparison, Comparison, compare
from pytest_sst2.compare.pairing import CellKey, by_cell, cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.upgrade.minimize import Answer

Kind = Literal["crash", "regressed", "drifted", "slower", "more-memory"]
# The worst first; what is surest to be told apart goes before what takes several rounds.
KINDS: tuple[Kind, ...] = ("crash", "regressed", "drifted", "slower", "more-memory")


@dataclass(frozen=True)
class Symptom:
    """What is looked for in every set of changes.

    Attributes:
        kind: What happened.
        cell: Where; None where nothing ran at all.
        said: What is known of it, in a clause.
        records: The cell in the earlier environment, one a seed; empty where ``cell`` is None.
    """

    kind: Kind
    cell: CellKey | None
    said: str
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        """``minilm × linear-probe``, or what stands for all cells."""
        return cell_name(self.cell) if self.cell else "every cell"

    @property
    def is_of_costs(self) -> bool:
        """Whether it takes several rounds to be seen."""
        return self.kind in ("slower", "more-memory")


def symptom_of(before: Results, after: Results, comparison: Comparison) -> Symptom | None:
    """Return the worst symptom of an upgrade, in the cell that takes least time; None where there is none."""
    seconds = {key: _seconds(records) for key, records in by_cell(before.records).items()}
    cells = sorted(comparison.cells, key=lambda cell: seconds[cell.model, cell.method])
    already = {(failure.model, failure.method) for failure in before.failures}
    failed = {
        key: failure.error for failure in after.failures if (key := (failure.model, failure.method)) not in already
    }
    for kind in KINDS:
        for cell in cells:
            key = (cell.model, cell.method)
            if shown := _shown(kind, cell, failed):
                return Symptom(kind, key, shown, tuple(by_cell(before.records)[key].values()))
    return None


def _seconds(records: dict[int, Record]) -> float:
    return sum(each.seconds for record in records.values() for each in record.rounds)


def _shown(kind: Kind, cell: CellComparison, failed: dict[CellKey, str]) -> str:
    """Return what a cell shows of a kind of symptom, empty where it does not show it."""
    if kind == "crash":
        return failed.get((cell.model, cell.method), "")
    if kind not in cell.flags:
        return ""
    if kind == "drifted":
        return cell.causes[0]
    if kind == "regressed":
        assert cell.accuracy is not None  # noqa: S101 - a cell without is incomparable
        causes = f"; {cell.causes[0]}" if cell.causes else ""
        return f"accuracy {cell.accuracy.before:.4f} → {cell.accuracy.after:.4f}{causes}"
    assert cell.costs is not None  # noqa: S101 - they gave it its flag
    if kind == "slower":
        worst = max(cell.costs.phases, key=lambda phase: phase.ratio)
        return f"{worst.name} takes {worst.ratio:.2f} × as long"
    assert cell.costs.memory is not None  # noqa: S101 - likewise
    return f"peak memory {cell.costs.memory.ratio:.2f} ×"


def answer_of(symptom: Symptom, trial: Results, *, tolerance: float, alpha: float) -> Answer:
    """Return whether a trial shows the symptom; another crash than that one, or no such cell, cannot be told."""
    errors = [failure.error for failure in trial.failures if (failure.model, failure.method) == symptom.cell]
    measured = symptom.cell in by_cell(trial.records)
    if symptom.kind == "crash":
        if symptom.cell is None:  # nothing ran at all, and here something did
            return Answer.HOLDS
        if errors:
            return Answer.SHOWS if any(same_crash(symptom.said, each) for each in errors) else Answer.UNKNOWN
        return Answer.HOLDS if measured else Answer.UNKNOWN
    if errors or not measured:
        return Answer.UNKNOWN
    found = compare(Results(symptom.records, []), trial, tolerance=tolerance, alpha=alpha)
    flags: Collection[str] = next(
        (cell.flags for cell in found.cells if (cell.model, cell.method) == symptom.cell), frozenset(("incomparable",))
    )
    if "incomparable" in flags:
        return Answer.UNKNOWN
    return Answer.SHOWS if symptom.kind in flags else Answer.HOLDS


def same_crash(one: str, other: str) -> bool:
    """Tell whether two errors are of one kind: the same words, whatever the numbers, addresses and paths in them."""
    first, second = (_CHANGING.sub("", text)[:_TELLING] for text in (one, other))
    return first == second


# Of an error: what another folder, process or version writes otherwise, and how much of the rest tells its kind.
_CHANGING = re.compile(r"/\S+|0x[0-9a-f]+|\d+")
_TELLING = 120
