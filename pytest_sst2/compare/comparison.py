"""Compare two results: pair their cells, compare each, and decide the exit status."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pytest_sst2.compare.cell_comparison import CellComparison, compare_cell, failed_cell
from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.cell_verdicts import compared_cells, with_advice, with_verdicts
from pytest_sst2.compare.changed_on_purpose import pair_cells, undeclared
from pytest_sst2.compare.pairing import CellKey, by_cell, pair_records
from pytest_sst2.compare.timing_command import timing_command
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.commit import commits_label
from pytest_sst2.results.environment_diff import EnvironmentChange, environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look, last_looks
from pytest_sst2.results.record import Record

HOLDS, FAILS, CANNOT_COMPARE = 0, 1, 2


@dataclass(frozen=True)
class Comparison:
    """Two results, compared.

    Attributes:
        saved: When the earlier results were saved; empty if their file has no date.
        age_seconds: From then to the end of the later measurements; None if unknown.
        commits: The commits of the earlier and of the later records, shortened; empty where none is known.
        cells: In the order of the later results.
        only_before: Cells of the earlier results that were not measured again.
        only_after: Cells that the earlier results lack.
        seeds_only_before: From the name of a compared cell to its earlier seeds that were not measured again. Empty
            for cells whose seeds are compared as independent draws.
        to_declare: What to type to compare the cells that differ in what was not declared; empty if there are none.
        notes: Where the earlier results were read from.
        timing_command: What to type to time both sides again, by turns; empty if that is not possible.
    """

    before: str
    after: str
    saved: str
    tolerance: float
    alpha: float
    cells: tuple[CellComparison, ...]
    environment: tuple[EnvironmentChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    seeds_only_before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    to_declare: str = ""
    notes: tuple[str, ...] = ()
    age_seconds: float | None = None
    commits: tuple[str, str] = ("", "")
    timing_command: str = ""

    def flagged(self, flag: str) -> tuple[CellComparison, ...]:
        """Return the cells with a flag."""
        return tuple(cell for cell in self.cells if flag in cell.flags)

    def exit_status(self, fail_on: Collection[str]) -> int:
        """Return 0 if everything holds, 1 if anything in ``fail_on`` occurred, 2 if cells could not be compared.

        A certain failure takes precedence over a cell that could not be compared. Without a common cell the status
        is 2.
        """
        if not self.cells:
            return CANNOT_COMPARE
        if any(self.flagged(flag) for flag in fail_on if flag != "incomparable"):
            return FAILS
        if "missing" in fail_on and (self.only_before or self.seeds_only_before):
            return FAILS
        if "incomparable" in fail_on and self.flagged("incomparable"):
            return CANNOT_COMPARE
        return HOLDS


def compare(
    before: Results,
    after: Results,
    *,
    tolerance: float,
    alpha: float,
    declared: Declared = NOTHING_DECLARED,
    time_tolerance: float = SPEED_TOLERANCE,
) -> Comparison:
    """Compare two results.

    Cells are paired by model and method, and their records by seed. If the two sides have no seed in common but
    several seeds each, the seeds are compared as independent draws. One seed against another is incomparable, because
    the seed also draws the rows. ``tolerance`` is the drop in accuracy (a fraction) that is accepted, ``alpha`` the
    level of significance after Holm's correction. ``declared`` is what changed on purpose. ``time_tolerance`` is the
    growth of a time (a fraction) that is accepted.

    A cell of a run with ``--sst2-seeds auto`` is compared as at its last look: with its seeds and its alpha.

    Raises:
        Sst2Error: A declared pair names a model or method that a side lacks.
    """
    looks = last_looks(after.looks)
    old, new = by_cell(before.records), _at_look(by_cell(after.records), looks)
    failed = {(failure.model, failure.method): failure for failure in after.failures}
    paired = pair_cells(old, dict.fromkeys((*new, *failed)), declared)
    pairings = {key: pair_records(old[earlier], new[key]) for key, earlier in paired.items() if key not in failed}
    cells = [
        compare_cell(key, pairings[key], tolerance, alpha, declared, looks.get(key), time_tolerance)
        if key in pairings
        else failed_cell(key, failed[key])
        for key in paired
    ]
    return Comparison(
        before=before.origin,
        after=after.origin,
        saved=before.saved,
        tolerance=tolerance,
        alpha=alpha,
        cells=tuple(
            with_advice(cell, pairings.get((cell.model, cell.method)), compared_cells(cells), alpha)
            for cell in with_verdicts(cells, alpha)
        ),
        environment=environment_changes(before.records[0].environment, after.records[0].environment)
        if before.records and after.records
        else (),
        only_before=tuple(cell_name(key) for key in old if key not in paired.values()),
        only_after=tuple(cell_name(key) for key in new if key not in paired),
        seeds_only_before={
            cell_name(key): seeds
            for key, earlier in paired.items()
            if key not in failed and key not in looks and (seeds := _missing_seeds(old[earlier], new[key]))
        },
        to_declare=undeclared(old, new, {key: paired[key] for key in paired if key not in failed}, declared),
        notes=before.notes,
        age_seconds=_age_seconds(before.saved, after.records),
        commits=(_commits(before), _commits(after)),
        timing_command=timing_command(before, after),
    )


def _commits(results: Results) -> str:
    return commits_label(record.commit for record in results.records)


def _age_seconds(saved: str, later: Sequence[Record]) -> float | None:
    """Return the seconds from a date to the end of the last record; None if either is unknown or they are reversed."""
    try:
        date = datetime.fromisoformat(saved).timestamp()
    except (ValueError, OverflowError):
        return None
    ends = [record.placement.finished for record in later if record.placement.finished is not None]
    return max(ends) - date if ends and max(ends) >= date else None


def _at_look(
    new: Mapping[CellKey, dict[int, Record]], looks: Mapping[CellKey, Look]
) -> dict[CellKey, dict[int, Record]]:
    """Return the records of each cell that its last look had; all records of a cell without a look."""
    kept = dict(new)
    for key, look in looks.items():
        if of_look := {seed: new[key][seed] for seed in look.seeds if seed in new.get(key, {})}:
            kept[key] = of_look
    return kept


def _missing_seeds(old: Mapping[int, Record], new: Mapping[int, Record]) -> tuple[int, ...]:
    """Return the seeds of ``old`` that ``new`` lacks; none if they have no seed in common."""
    return tuple(seed for seed in old if seed not in new) if old.keys() & new.keys() else ()
