"""``upgrade --time``: both environments by turns, until the times of each cell are decided or the budget is over."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_sst2.compare.pairing import CellKey, by_cell
from pytest_sst2.compare.speed_and_memory import compare_speed_and_memory
from pytest_sst2.compare.turn_times import is_look
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.runner.turns import SIDES, end_side, turn_variables
from pytest_sst2.upgrade.ab_run import Measurements, Notify, Sides
from pytest_sst2.upgrade.benchmark_runs import Plan, run_benchmarks
from pytest_sst2.utils.clock import CLOCK
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import duration, shorten
from pytest_sst2.utils.hashing import short_digest

# The rounds of a process take about as long as its start.
_ROUND_SECONDS = 10.0
_MOST_ROUNDS = 20


@dataclass(frozen=True)
class TimeLimits:
    """The growth of a time, a fraction, that is tolerated, and the seconds that may be spent on deciding it."""

    tolerance: float
    budget: float


def measure_times(
    sides: Sides, plan: Plan, measured: Measurements, limits: TimeLimits, folder: Path, notify: Notify
) -> Measurements:
    """Return the measurements with the rounds of as many turns as the times of each cell need, or the budget allows.

    Only the first seed of a cell is repeated. At least one turn is run. Those of an interrupted command are reused. A
    turn that cannot run ends this with a note.
    """
    if measured.after is None:
        return measured
    cells = _TimedCells(measured.before, measured.after, limits.tolerance)
    start, last, number = CLOCK.seconds(), 0.0, 0
    while cells.undecided:
        began = CLOCK.seconds()
        if number and began - start + last > limits.budget:
            break
        number += 1
        spent = f"{duration(began - start)} of {duration(limits.budget)}"
        notify(f"times: turn {number} ({spent}), {shorten([cell_name(key) for key in cells.undecided])}")
        try:
            for one in cells.plans(plan):
                into = folder / short_digest("\n".join(one.flags))
                cells.add(number, *_run_turn(sides, one, into, number))
        except Sst2Error as error:
            notify(f"note: times are measured no further: {error}")
            break
        last = CLOCK.seconds() - began
        if number == 1 or is_look(number):
            cells.look()
    return replace(measured, before=cells.results[0], after=cells.results[1])


class _TimedCells:
    """The results of both environments, with the rounds of all turns so far.

    Attributes:
        results: Those of the earlier and of the later environment.
        undecided: The cells that need more turns.
    """

    def __init__(self, before: Results, after: Results, tolerance: float) -> None:
        self.results = (before, after)
        self._tolerance = tolerance
        later = by_cell(after.records)
        self.undecided: list[CellKey] = [key for key in by_cell(before.records) if key in later]

    def plans(self, plan: Plan) -> list[Plan]:
        """Return the plans for the undecided cells: one seed, and as many rounds as take about 10 s."""
        known = by_cell(self.results[0].records)
        first = {key: next(iter(known[key].values())) for key in self.undecided}
        seeds = dict.fromkeys(record.seed for record in first.values())
        count = rounds_per_turn([record.rounds[0].seconds for record in first.values()])
        # A lock that one side holds while it waits for the other would stop both.
        flags = (f"--sst2-rounds={count}", "-o", "sst2_exclusive=false")
        return [
            replace(one, flags=(*one.flags, *flags))
            for seed in seeds
            for one in plan.for_cells([key for key, record in first.items() if record.seed == seed], [seed])
        ]

    def add(self, number: int, before: Results, after: Results) -> None:
        """Add the rounds of one turn to the undecided cells. A cell that has no number now needs no further turn."""
        turn = by_cell(before.records), by_cell(after.records)
        ran = {(record.model, record.method) for record in before.records}
        ran |= {(failure.model, failure.method) for failure in (*before.failures, *after.failures)}
        for key in [key for key in self.undecided if key in ran]:
            old, new = (next(iter(side.get(key, {}).values()), None) for side in turn)
            if old is None or new is None:
                self.undecided.remove(key)
                continue
            # Turns of two commands differ, because their times do.
            name = f"{number}-{short_digest(repr((old.rounds, new.rounds)))}"
            one, other = (
                _with_rounds(results, measured, name)
                for results, measured in zip(self.results, (old, new), strict=True)
            )
            self.results = one, other

    def look(self) -> None:
        """Leave the cells whose times are all decided, or are too short to be compared."""
        old, new = (by_cell(results.records) for results in self.results)
        sides = {key: (list(old[key].values()), list(new[key].values())) for key in self.undecided}
        changes = {
            key: compare_speed_and_memory(*records, time_tolerance=self._tolerance) for key, records in sides.items()
        }
        self.undecided = [key for key in sides if any(phase.speed == "undecided" for phase in changes[key].phases)]


def rounds_per_turn(seconds: Sequence[float]) -> int:
    """Return the number of rounds of cells that take so many seconds each.

    The first round of a process is one more, which is not used, unless a single one is long enough.
    """
    count = math.ceil(_ROUND_SECONDS / max(sum(seconds), _ROUND_SECONDS / _MOST_ROUNDS))
    return count + 1 if count > 1 else 1


def _with_rounds(results: Results, measured: Record, turn: str) -> Results:
    """Return results with the rounds of a record added to the record of the same cell."""
    rounds = [replace(one, turn=turn) for one in measured.rounds]
    records = [
        replace(record, rounds=(*record.rounds, *rounds)) if record.cell == measured.cell else record
        for record in results.records
    ]
    return replace(results, records=records)


def _run_turn(sides: Sides, plan: Plan, folder: Path, number: int) -> tuple[Results, Results]:
    """Run the benchmarks in both environments at once; their processes run one round at a time.

    Raises:
        Sst2Error: One of them has no results.
    """
    files = {side: folder / f"{side}-{number}.json" for side in SIDES}
    if not all(file.is_file() for file in files.values()):
        for file in files.values():
            file.unlink(missing_ok=True)
    positions = folder / f"turn-{number}"
    shutil.rmtree(positions, ignore_errors=True)
    positions.mkdir(parents=True)

    def run(side: str) -> Results:
        try:
            variables = turn_variables(positions, side)
            return run_benchmarks(getattr(sides, side), plan, files[side], more_variables=variables)
        finally:
            end_side(positions, side)

    with ThreadPoolExecutor(len(SIDES)) as pool:
        before, after = pool.map(run, SIDES)
    return before, after
