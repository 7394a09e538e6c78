"""Select the tests of one shard (``--sst2-shard``)."""

from __future__ import annotations

import pytest

from pytest_sst2.config.settings import Shard
from pytest_sst2.runner.sharding import Division, divide
from pytest_sst2.session.cell_items import cell_of, cells_of, deselect
from pytest_sst2.session.stash import DIVISION, inputs_of


def select_shard(config: pytest.Config, items: list[pytest.Item], shard: Shard) -> Division:
    """Deselect the tests whose cell is measured in another shard, and return how the cells were divided."""
    division = config.stash[DIVISION] = divide(cells_of(items), shard, inputs_of(config).known_costs)
    deselect(config, items, [item for item in items if (cell := cell_of(item)) and cell.id in division.others])
    return division
