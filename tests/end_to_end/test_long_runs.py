"""Long runs: weights, gradients, graphs and caches of a cell are let go before the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.perf.scale_memory import CELLS_OF_A_SEED, FIRST, MOST_GROWTH, After, growth, measure


@pytest.mark.processes
def test_the_memory_of_one_process_does_not_grow_from_cell_to_cell(tmp_path: Path) -> None:
    """A sample of ``python -m tools.perf.scale_memory --cells 200`` (docs/reliability-tests.md)."""
    measured = measure(tmp_path, seeds=3)
    assert len({each.cell for each in measured}) == len(measured) == 3 * CELLS_OF_A_SEED
    assert growth(measured) <= MOST_GROWTH


def test_a_model_kept_by_each_cell_is_seen() -> None:
    mb = 2**20
    measured = [After(f"cell-{number}", (600 + 28 * number) * mb) for number in range(3 * CELLS_OF_A_SEED)]
    assert growth(measured) > MOST_GROWTH
    assert growth([After("same", 600 * mb)] * (FIRST + 1)) == 1.0
