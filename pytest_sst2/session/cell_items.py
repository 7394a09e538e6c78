"""Items: the cell that a test of pytest measures. Loads nothing: it is asked in everybody's runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from pytest_sst2.config.specs import Cell


def parameters(item: pytest.Item) -> Mapping[str, Any]:
    """Return a test's parameters by name; none where it has none."""
    found: Mapping[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    return found


def cells_of(items: Iterable[pytest.Item]) -> list[Cell]:
    """Return the cells of the tests that have one, in order; a cell stands there once for each of its tests."""
    return [cell for item in items if (cell := cell_of(item)) is not None]


def cell_of(item: pytest.Item) -> Cell | None:
    """Return the cell that a test measures, None for one that measures none."""
    cell: Cell | None = parameters(item).get("sst2_cell")
    return cell
