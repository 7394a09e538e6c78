"""The part of a run that one shard has (``--sst2-shard``): its tests, and the baseline it is compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_sst2.config.settings import Shard
from pytest_sst2.results.file import Results
from pytest_sst2.runner.sharding import Division, divide
from pytest_sst2.session.cell_items import cell_of, cells_of, deselect
from pytest_sst2.session.stash import DIVISION, inputs_of, settings_of


def select_shard(config: pytest.Config, items: list[pytest.Item], shard: Shard) -> Division:
    """Deselect the tests whose cell is measured in another shard, and return how the cells were divided."""
    known, auto = inputs_of(config).known_costs, settings_of(config).auto_seeds
    division = config.stash[DIVISION] = divide(cells_of(items), shard, known, seeds_together=auto)
    deselect(config, items, [item for item in items if (cell := cell_of(item)) and cell.id in division.others])
    return division


def baseline_of_shard(baseline: Results, results: Results, division: Division) -> tuple[Results | None, str]:
    """Return the baseline without the cells of other shards, and a note for the summary.

    None replaces the baseline if it holds no cell of this shard.
    """
    kept = [record for record in baseline.records if record.cell not in division.others]
    pairs = {(record.model, record.method) for record in results.records}
    pairs |= {(failure.model, failure.method) for failure in results.failures}
    if len(kept) < len(baseline.records) and not pairs & {(record.model, record.method) for record in kept}:
        return None, f"baseline {baseline.origin!r} has no cell of this shard to compare with"
    # A cell that no shard measures is missing in all of them, and is reported when they are joined.
    mine = {(record.model, record.method) for record in kept if record.cell in division.mine}
    own = [record for record in kept if record.cell in division.mine or (record.model, record.method) in pairs - mine]
    note = (
        "compared for this shard alone: Holm's correction covers all cells, so judge the whole run when the shards are "
        f"joined: pytest-sst2 merge FILE ... -o all.json, then pytest-sst2 compare {baseline.origin} all.json"
    )
    return replace(baseline, records=own or kept), note
