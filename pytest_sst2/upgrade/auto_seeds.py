"""``--sst2-seeds auto`` in an upgrade: both environments by turns, look by look, until each cell is decided."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pytest_sst2.compare.pairing import CellKey, by_cell
from pytest_sst2.compare.stopping_rule import Limits, groups_of, planned_looks, taken_look
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade.ab_run import (
    AFTER,
    BEFORE,
    Measurements,
    Notify,
    Sides,
    forget_finished,
    measure_passes,
)
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.utils.formatting import shorten
from pytest_sst2.utils.hashing import short_digest


def measure_until_decided(
    sides: Sides, plan: Plan, passes: int, folder: Path, notify: Notify, *, tolerance: float, alpha: float
) -> Measurements:
    """Measure both environments with one seed, then with two more in the cells that are undecided, and so on.

    The results of an interrupted command are reused, and the looks taken again with the same records and results.

    Raises:
        SideError: The benchmarks do not run in the earlier environment.
    """
    forget_finished(folder)
    run = _Run(tolerance, alpha)
    plans = [plan.with_seeds(ALL_AUTO_SEEDS[:1])]
    done = 0
    for number, (count, share) in enumerate(planned_looks(len(ALL_AUTO_SEEDS))):
        seeds = ALL_AUTO_SEEDS[done:count]
        if number:
            plans = plan.for_cells(run.undecided, seeds)
        done = count
        for each in plans:
            what = f", {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"
            what += f" of {shorten([cell_name(key) for key in run.undecided])}" if number else ""
            into = folder / short_digest("\n".join(each.flags))
            measured = measure_passes(sides, each, passes, into, notify, later_first=number % 2 == 1, what=what)
            if measured.after is None:
                return Measurements(run.before(measured.before), None, measured.after_error, folder)
            run.add(measured.before, measured.after, first=not number)
        run.look(share, ALL_AUTO_SEEDS[:count])
        if not run.undecided:
            break
    return Measurements(run.before(), run.after(), "", folder)


class _Run:
    """The records of both environments, and the looks taken so far.

    Attributes:
        undecided: The cells that need more seeds.
    """

    def __init__(self, tolerance: float, alpha: float) -> None:
        self._records: dict[str, list[Record]] = {BEFORE: [], AFTER: []}
        self._failures: dict[str, list[Failure]] = {BEFORE: [], AFTER: []}
        self._looks: list[Look] = []
        self._limits = Limits(tolerance, alpha, {})
        self.undecided: list[CellKey] = []

    def add(self, before: Results, after: Results, *, first: bool) -> None:
        """Add the results of some seeds. Those of cells that are decided already are left out."""
        if first:
            keys = dict.fromkeys((record.model, record.method) for record in after.records)
            known = by_cell(before.records)
            self.undecided = [key for key in keys if key in known]
            groups = groups_of({key: known[key] for key in self.undecided})
            self._limits = replace(self._limits, groups=groups)
        for name, results in ((BEFORE, before), (AFTER, after)):
            self._records[name] += [one for one in results.records if first or self._is_undecided(one)]
            self._failures[name] += [one for one in results.failures if first or self._is_undecided(one)]

    def _is_undecided(self, one: Record | Failure) -> bool:
        return (one.model, one.method) in self.undecided

    def look(self, share: float, seeds: tuple[int, ...]) -> None:
        """Take the look at every undecided cell; one without a number for a seed needs no further look."""
        before, after = by_cell(self._records[BEFORE]), by_cell(self._records[AFTER])
        undecided = []
        for key in self.undecided:
            old, new = before.get(key, {}), after.get(key, {})
            if not all(seed in old and seed in new for seed in seeds):
                continue
            look = taken_look(
                Look(*key, seeds, share * self._limits.alpha, "undecided", "upgrade"),
                [old[seed] for seed in seeds],
                [new[seed] for seed in seeds],
                planned_looks(len(ALL_AUTO_SEEDS)),
                self._limits,
            )
            self._looks.append(look)
            if not look.is_last:
                undecided.append(key)
        self.undecided = undecided

    def before(self, more: Results | None = None) -> Results:
        """Return the results of the earlier environment, with those of an unfinished look if given."""
        records = (*self._records[BEFORE], *(more.records if more else ()))
        failures = (*self._failures[BEFORE], *(more.failures if more else ()))
        return Results(records, failures, origin=BEFORE)

    def after(self) -> Results:
        """Return the results of the later environment, with the looks."""
        return Results(self._records[AFTER], self._failures[AFTER], origin=AFTER, looks=self._looks)
