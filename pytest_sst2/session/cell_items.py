"""The cells of collected tests. Imports nothing heavy, because it runs in every pytest run."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_sst2.config.specs import Cell

_MISSING = object()


def uses_cell(item: pytest.Item) -> bool:
    """Return whether a test uses the fixture ``sst2_cell``, for itself or through ``sst2_run``."""
    return "sst2_cell" in getattr(item, "fixturenames", ())


def has_no_cell(item: pytest.Item) -> bool:
    """Return whether a test uses ``sst2_cell`` and no cell of the run is for it."""
    return _parameter(item) is None


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell that a test measures, or None."""
    cell = _parameter(item)
    return None if cell is _MISSING else cell


def cells_of(items: Iterable[pytest.Item]) -> list[Cell]:
    """Return the cells of tests, in order; a cell is repeated for each of its tests."""
    return [cell for item in items if (cell := cell_of(item)) is not None]


def deselect(config: pytest.Config, items: list[pytest.Item], unwanted: Collection[pytest.Item]) -> None:
    """Remove tests from ``items``, and report them as deselected."""
    if unwanted:
        config.hook.pytest_deselected(items=unwanted)
        ids = set(map(id, unwanted))
        items[:] = [item for item in items if id(item) not in ids]


# Values of pytest's options that collect tests and run none.
_SHOWING = ("collectonly", "setuponly", "setupplan", "showfixtures", "show_fixtures_per_test")


def runs_cells(config: pytest.Config, items: Iterable[pytest.Item]) -> bool:
    """Return whether this process runs cells and may end the run with a usage error.

    A worker of pytest-xdist may not: if it stops, it looks like a crash. There, every cell fails with the error.
    """
    if hasattr(config, "workerinput") or any(getattr(config.option, name, False) for name in _SHOWING):
        return False
    return any(map(uses_cell, items))


def _parameter(item: pytest.Item) -> Any:
    return getattr(getattr(item, "callspec", None), "params", {}).get("sst2_cell", _MISSING)
