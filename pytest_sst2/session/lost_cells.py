"""Find the cells that a run should have measured and has no number for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pytest_sst2.results.record import Failure
from pytest_sst2.session.planned_cells import Plan, PlannedCell, planned_failure


def lost_cells(
    plan: Plan, reasons: Mapping[str, Failure], known: Collection[str], *, complete: bool, keeps: bool, saves: bool
) -> list[Failure]:
    """Return a failure for each cell of the plan that has no number, with the reason.

    A run that saves a baseline needs every cell that its tests could measure. Another run may leave cells out on
    purpose, and may be stopped and resumed, so only a test that ran without measuring its cell loses one.

    Args:
        plan: The cells of the run.
        reasons: From the id of a cell to why its test ended without measuring it.
        known: The ids of cells with a number or a failure, and of those that this run need not measure.
        complete: Whether the run went to its end.
        keeps: Whether the run's results are written or compared.
        saves: Whether the run saves a baseline.
    """
    return [
        failure for cell, failure in _without_number(plan, reasons, complete and keeps, saves) if cell[0] not in known
    ]


def _without_number(
    plan: Plan, reasons: Mapping[str, Failure], is_whole: bool, saves: bool
) -> Iterator[tuple[PlannedCell, Failure]]:
    for cell in plan.selected:
        if cell[0] in reasons:
            yield cell, reasons[cell[0]]
        elif is_whole:
            yield cell, planned_failure(cell, "no test reported a result of it")
        elif saves:
            yield cell, planned_failure(cell, "the run stopped before its test ended")
    if saves:
        yield from ((cell, planned_failure(cell, "its test was deselected")) for cell in plan.left_out)
