"""The problem that a bisection looks for, and whether a benchmark run reproduces it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.pairing import CellKey, by_cell
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.upgrade.minimize import Outcome

Kind = Literal["crash", "regressed", "drifted", "slower", "more-memory"]
# The worst first. Those that need several passes come last.
KINDS: tuple[Kind, ...] = ("crash", "regressed", "drifted", "slower", "more-memory")


@dataclass(frozen=True)
class Symptom:
    """A problem of one cell in the later environment.

    Attributes:
        cell: The cell; None if pytest itself did not run.
        summary: The problem in a clause, such as ``accuracy 0.7890 → 0.7110``.
        records: The records of the cell in the earlier environment, one per seed; empty if ``cell`` is None.
        later_records: The same of the later environment; empty if it has none.
        cause: The difference that a drift is about; None for other kinds.
    """

    kind: Kind
    cell: CellKey | None
    summary: str
    records: tuple[Record, ...]
    later_records: tuple[Record, ...] = ()
    cause: Cause | None = None

    @property
    def name(self) -> str:
        """``minilm × linear-probe``, or ``every cell``."""
        return cell_name(self.cell) if self.cell else "every cell"

    @property
    def needs_passes(self) -> bool:
        """Whether several passes are needed to measure it."""
        return self.kind in ("slower", "more-memory")

    def with_more(self, earlier: Sequence[Record], later: Sequence[Record]) -> Symptom:
        """Return the symptom with the records of more seeds of both environments."""
        return replace(self, records=(*self.records, *earlier), later_records=(*self.later_records, *later))


def worst_symptom(before: Results, after: Results, comparison: Comparison) -> Symptom | None:
    """Return the worst symptom of an upgrade, None if there is none; among equals, that of the fastest cell."""
    seconds = {
        key: sum(one_round.seconds for record in records.values() for one_round in record.rounds)
        for key, records in by_cell(before.records).items()
    }
    cells = sorted(comparison.cells, key=lambda cell: seconds[cell.model, cell.method])
    failed_before = {(failure.model, failure.method) for failure in before.failures}
    new_failures = [failure for failure in after.failures if (failure.model, failure.method) not in failed_before]
    errors = {(failure.model, failure.method): failure.error for failure in new_failures}
    for kind in KINDS:
        for cell in cells:
            key = (cell.model, cell.method)
            if summary := _summary(kind, cell, errors):
                earlier, later = (tuple(by_cell(side.records).get(key, {}).values()) for side in (before, after))
                cause = _drift(cell) if kind == "drifted" else None
                return Symptom(kind, key, summary, earlier, later, cause)
    return None


def _drift(cell: CellComparison) -> Cause:
    """Return the cause that a drift is about: the first one, but rather what changed code did than that it changed."""
    causes = [cause for cause in cell.causes if not cause.is_note]
    return next((cause for cause in causes if (cause.kind, cause.where) != ("settings", "code")), causes[0])


def _same_drift(cause: Cause, cell: CellComparison) -> Cause | None:
    """Return the cause of a cell that is of the same step, and of the same setting; None if there is none."""
    named = cause.kind in ("settings", "config")
    same = (one for one in cell.causes if one.kind == cause.kind and not one.is_note)
    return next((one for one in same if one.where == cause.where or not named), None)


def _summary(kind: Kind, cell: CellComparison, errors: dict[CellKey, str]) -> str:
    """Return the summary of one kind of problem in a cell, empty if the cell does not have it."""
    if kind == "crash":
        return errors.get((cell.model, cell.method), "")
    if kind not in cell.flags:
        return ""
    if kind == "drifted":
        return _drift(cell).sentence
    if kind == "regressed":
        assert cell.accuracy is not None  # noqa: S101 - a cell without accuracy is incomparable
        cause = f"; {cell.causes[0]}" if "drifted" in cell.flags else ""
        return f"accuracy {cell.accuracy.before:.4f} → {cell.accuracy.after:.4f}{cause}"
    assert cell.speed_and_memory is not None  # noqa: S101 - its flag comes from them
    if kind == "slower":
        slower = [change for change in cell.speed_and_memory.times if change.speed == "slower"]
        worst = max(slower, key=lambda change: change.ratio)
        return f"{worst.name} takes {worst.ratio:.2f} × as long"
    assert cell.speed_and_memory.memory is not None  # noqa: S101 - its flag comes from it
    return f"peak memory {cell.speed_and_memory.memory.ratio:.2f} ×"


def outcome_of(symptom: Symptom, results: Results, *, tolerance: float, alpha: float) -> Outcome:
    """Return whether a benchmark run reproduces the symptom.

    It does if the cell has the symptom compared with the earlier environment. It does not if the cell is shown to have
    kept its accuracy or time. It does not either if the later environment has the symptom compared with it, and the
    cell lost no more than the tolerance as estimated. Otherwise it is undecided.
    Untestable are a different crash, a cell that was not measured, and a cell that cannot be compared.
    """
    errors = [failure.error for failure in results.failures if (failure.model, failure.method) == symptom.cell]
    measured = symptom.cell in by_cell(results.records)
    if symptom.kind == "crash":
        if symptom.cell is None:  # pytest did not run there, and it ran here
            return Outcome.GOOD
        if errors:
            is_same = any(is_same_crash(symptom.summary, error) for error in errors)
            return Outcome.BAD if is_same else Outcome.UNTESTABLE
        return Outcome.GOOD if measured else Outcome.UNTESTABLE
    if errors or not measured:
        return Outcome.UNTESTABLE
    cell = _compared(symptom, symptom.records, results.records, tolerance, alpha)
    if cell is None or cell.verdict == "incomparable":
        return Outcome.UNTESTABLE
    if _has(symptom, cell):
        return Outcome.BAD
    if _is_held(symptom.kind, cell):
        return Outcome.GOOD
    later = _compared(symptom, results.records, symptom.later_records, tolerance, alpha)
    is_better_than_later = later is not None and _has(symptom, later)
    return Outcome.GOOD if is_better_than_later and _seems_held(symptom.kind, cell) else Outcome.UNDECIDED


def summary_of(symptom: Symptom, results: Results, *, tolerance: float, alpha: float) -> str:
    """Return the summary of a symptom as a benchmark run shows it; empty if the cell does not show it."""
    cell = _compared(symptom, symptom.records, results.records, tolerance, alpha)
    if cell is None or not _has(symptom, cell):
        return ""
    if symptom.cause is not None and (cause := _same_drift(symptom.cause, cell)):
        return cause.sentence
    return _summary(symptom.kind, cell, {})


def _has(symptom: Symptom, cell: CellComparison) -> bool:
    """Return whether a cell has a symptom. A drift in another step, or of another setting, is another symptom."""
    if symptom.kind not in cell.flags:
        return False
    return symptom.cause is None or _same_drift(symptom.cause, cell) is not None


def _compared(
    symptom: Symptom, before: Sequence[Record], after: Sequence[Record], tolerance: float, alpha: float
) -> CellComparison | None:
    """Return the comparison of the symptom's cell; None if a side lacks it."""
    cells = compare(Results(before, []), Results(after, []), tolerance=tolerance, alpha=alpha).cells
    return next((cell for cell in cells if (cell.model, cell.method) == symptom.cell), None)


def _is_held(kind: Kind, cell: CellComparison) -> bool:
    """Return whether a cell without the symptom is shown not to have it."""
    resources = cell.speed_and_memory
    if kind == "regressed":
        return cell.verdict != "undecided"
    if kind == "slower":
        times = resources.times if resources else ()
        return bool(times) and all(change.speed in ("held", "faster") for change in times)
    if kind == "more-memory":
        return resources is not None and resources.memory is not None and resources.memory.state == "held"
    return True  # a drift is a difference of fingerprints


def _seems_held(kind: Kind, cell: CellComparison) -> bool:
    """Return whether a cell lost no more than the tolerance as estimated."""
    if kind == "regressed":
        return cell.accuracy is not None and cell.accuracy.delta >= -cell.tolerance
    resources = cell.speed_and_memory
    return kind == "slower" and all(
        change.ratio <= 1 + SPEED_TOLERANCE for change in (resources.times if resources else ())
    )


def is_same_crash(one: str, other: str) -> bool:
    """Return whether two error messages are the same apart from numbers, addresses and paths."""
    first, second = (_VARIABLE_PARTS.sub("", text)[:_COMPARED_CHARACTERS] for text in (one, other))
    return first == second


_VARIABLE_PARTS = re.compile(r"/\S+|0x[0-9a-f]+|\d+")
_COMPARED_CHARACTERS = 120
