"""The cells of collected tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.specs import Cell
from pytest_sst2.session.cell_items import cell_of, cells_of, has_no_cell, runs_cells, uses_cell

CELL = Cell(None, METHODS[-1], 42)


def item(*fixtures: str, **parameters: Any) -> Any:
    return SimpleNamespace(fixturenames=fixtures, callspec=SimpleNamespace(params=parameters))


MEASURES, EMPTY = item("sst2_run", "sst2_cell", sst2_cell=CELL), item("sst2_cell", sst2_cell=None)
OTHER, DOCTEST = item("tmp_path", number=1), SimpleNamespace()


def test_only_a_test_with_a_cell_has_one() -> None:
    assert [cell_of(each) for each in (MEASURES, EMPTY, OTHER, DOCTEST)] == [CELL, None, None, None]  # type: ignore[arg-type]
    assert cells_of([MEASURES, OTHER, MEASURES]) == [CELL, CELL]


def test_a_test_that_uses_cells_and_has_none_is_not_one_that_uses_none() -> None:
    tests: list[Any] = [MEASURES, EMPTY, OTHER, DOCTEST]
    assert list(map(has_no_cell, tests)) == [False, True, False, False]
    assert list(map(uses_cell, tests)) == [True, True, False, False]


def test_a_worker_and_a_mere_collection_run_no_cells() -> None:
    controller: Any = SimpleNamespace(option=SimpleNamespace(collectonly=False))
    assert runs_cells(controller, [OTHER, MEASURES])
    assert not runs_cells(controller, [OTHER])
    controller.option.collectonly = True
    assert not runs_cells(controller, [MEASURES])
    worker: Any = SimpleNamespace(option=SimpleNamespace(collectonly=False), workerinput={})
    assert not runs_cells(worker, [MEASURES])
