"""The cells that a run's tests measure: those selected, and those left out by an option or a plugin.

A baseline is saved only if each of them has a number, so they are known before anything can leave a test out.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2.config.options import SAVE, is_set
from pytest_sst2.results.looks import Skipped
from pytest_sst2.session.cell_items import cell_of
from pytest_sst2.session.stash import DIVISION
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.sanitize import MOST_CHARACTERS, printable

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell
    from pytest_sst2.results.record import Failure
    from pytest_sst2.runner.sharding import Division

PlannedCell = tuple[str, str | None, str, int]
"""Id, model, method and seed. A plain tuple, because a worker of pytest-xdist sends it to the controller."""

_COLLECTED = pytest.StashKey[dict[str, PlannedCell]]()
_OTHER_SHARDS = pytest.StashKey[dict[str, PlannedCell]]()


@dataclass(frozen=True)
class Plan:
    """The cells of a run, each once, in the order in which they were collected.

    Attributes:
        selected: Cells of the tests that the run selected, in every shard.
        left_out: Cells whose tests were collected and then deselected.
    """

    selected: tuple[PlannedCell, ...] = ()
    left_out: tuple[PlannedCell, ...] = ()


# Why a test skipped its cell although nothing went wrong, such as a verdict that earlier seeds decided.
NOT_NEEDED = pytest.StashKey[Skipped]()
# The plan of this process, known when the collection is finished.
PLAN = pytest.StashKey[Plan]()


def measures_cell(item: Any) -> bool:
    """Return whether a test, or the ``Metafunc`` of a test function, can measure a cell: it uses ``sst2_run``."""
    return "sst2_run" in getattr(item, "fixturenames", ())


def note_collected(metafunc: pytest.Metafunc, cells: Iterable[Cell]) -> None:
    """Store the cells of a test function, before an option or a plugin can deselect one."""
    if measures_cell(metafunc):
        metafunc.config.stash.setdefault(_COLLECTED, {}).update((cell.id, _planned(cell)) for cell in cells)


def note_skipped_file(module: pytest.Module) -> None:
    """Store the cells of a file of tests that was collected as if it were empty, in a run that saves a baseline."""
    if not is_set(module.config, SAVE):
        return
    # Generating the tests stores their cells. The tests themselves are not added to the run.
    with contextlib.suppress(Exception, pytest.skip.Exception, pytest.fail.Exception):
        list(module.collect())


def note_other_shards(config: pytest.Config, items: Iterable[pytest.Item]) -> None:
    """Store the cells of selected tests before a shard deselects those of other shards."""
    config.stash[_OTHER_SHARDS] = _of_items(items)


def plan_of(config: pytest.Config, items: Iterable[pytest.Item]) -> Plan:
    """Return the plan of a run whose selected tests are ``items``."""
    selected = _of_items(items)
    if DIVISION in config.stash:
        others = config.stash[DIVISION].others
        selected |= {id_: cell for id_, cell in config.stash[_OTHER_SHARDS].items() if id_ in others}
    collected = config.stash.get(_COLLECTED, {})
    left_out = [cell for id_, cell in collected.items() if id_ not in selected]
    in_order = [cell for id_, cell in {**collected, **selected}.items() if id_ in selected]
    return Plan(tuple(in_order), tuple(left_out))


def attach_lost(item: pytest.Item, report: Any, call: pytest.CallInfo[None]) -> None:
    """Attach the reason to the report of a test that ended without measuring its cell.

    ``pytest.skip``, ``pytest.fail`` (also a timeout), an expected failure and a failing fixture raise no ``Exception``
    in ``measure``, so nothing else records them.
    """
    cell = cell_of(item)
    is_end = report.when == "call" or (report.when == "setup" and not report.passed)
    if cell is None or not is_end or not measures_cell(item):
        return
    if NOT_NEEDED in item.stash:
        report.sst2_not_needed = asdict(item.stash[NOT_NEEDED])
        return
    # pytest evaluates these marks before it starts the test's fixtures.
    has_mark = any(item.get_closest_marker(name) for name in ("skip", "skipif"))
    report.sst2_skipped_by_mark = report.when == "setup" and report.skipped and has_mark
    reason = "its test passed without measuring it"
    if call.excinfo is not None:
        error = call.excinfo.value
        message = str(getattr(error, "msg", None) or error)
        reason = f"its test {'was skipped' if report.skipped else 'failed'} before it was measured"
        reason += f": {message}" if message else ""
    report.sst2_lost = asdict(failure_of(cell, reason))


def failure_of(cell: Cell, reason: str) -> Failure:
    """Return the failure of a cell, with its reason sanitized and truncated."""
    return planned_failure(_planned(cell), reason)


def planned_failure(cell: PlannedCell, reason: str) -> Failure:
    """Return the failure of a planned cell, with its reason sanitized and truncated."""
    from pytest_sst2.results.record import Failure

    return Failure(*cell, truncate(printable(reason), MOST_CHARACTERS))


def planned_cells(cells: Iterable[Cell]) -> dict[str, PlannedCell]:
    """Return planned cells by their ids, each once."""
    return {cell.id: _planned(cell) for cell in cells}


def _planned(cell: Cell) -> PlannedCell:
    return cell.id, cell.model_name, cell.method.name, cell.seed


def _of_items(items: Iterable[pytest.Item]) -> dict[str, PlannedCell]:
    return planned_cells(cell for item in items if measures_cell(item) and (cell := cell_of(item)) is not None)


def plan_to_json(config: pytest.Config) -> dict[str, Any]:
    """Return the plan and the division of a worker as values that pytest-xdist can send."""
    division = config.stash.get(DIVISION, None)
    return {"plan": asdict(config.stash[PLAN]), "division": asdict(division) if division else None}


def plan_from_json(sent: dict[str, Any]) -> tuple[Plan, Division | None]:
    """Return the plan and the division that a worker sent; pytest-xdist may have turned tuples into lists."""
    from pytest_sst2.runner.sharding import Division

    plan, division = sent["plan"], sent["division"]
    cells = (tuple(tuple(cell) for cell in plan[name]) for name in ("selected", "left_out"))
    return Plan(*cells), Division(**division) if division else None
