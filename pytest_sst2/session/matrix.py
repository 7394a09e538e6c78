"""The matrix: which cells a run has, and which of them a test asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    import pytest

    from pytest_sst2.config.registry import Cell
    from pytest_sst2.session.settings import Settings


def whole_matrix(settings: Settings) -> list[Cell]:
    """Return every cell that could be asked for by these settings."""
    from pytest_sst2.config.registry import plan_cells

    return plan_cells(settings.models, settings.methods, settings.recipe.seeds)


def cells_for(settings: Settings, marker: pytest.Mark | None) -> list[Cell]:
    """Return the cells that a test with ``@pytest.mark.sst2`` is run for, all of them without the marker.

    Raises:
        Sst2Error: The marker is given something else than it takes, or an unknown method.
    """
    from pytest_sst2.config.registry import plan_cells

    wanted: set[str] = set(settings.registry.methods)
    if marker is not None:
        if set(marker.kwargs) - {"added"} or (marker.args and marker.kwargs):
            raise Sst2Error(f"it takes names of methods, or added=True alone, not {marker.args} {marker.kwargs}.")
        if marker.args:
            wanted = {settings.registry.method(name).name for name in marker.args}
        elif marker.kwargs.get("added"):
            wanted = set(settings.registry.added_methods)
    methods = [method for method in settings.methods if method.name in wanted]
    return plan_cells(settings.models, methods, settings.recipe.seeds)
