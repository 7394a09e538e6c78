"""The lines about data, recipe, shard and baseline below ``collected N items``."""

from __future__ import annotations

import pytest

from pytest_sst2.results.baselines import DROP_OPTION, matches, replaced_cells
from pytest_sst2.session.auto_seeds import auto_line
from pytest_sst2.session.cell_items import cells_of, runs_cells
from pytest_sst2.session.missing_models import missing_models_lines
from pytest_sst2.session.planned_cells import PLAN
from pytest_sst2.session.results_plugin import NAME
from pytest_sst2.session.stash import DIVISION, context_of, inputs_of, settings_of
from pytest_sst2.utils.formatting import shorten
from pytest_sst2.utils.sanitize import one_line


def collection_lines(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Return the lines to print after collection; none if the run has no cells."""
    division = config.stash.get(DIVISION, None)
    lines = [*inputs_of(config).notes, division.line] if division else []
    if runs_cells(config, items):
        source, recipe = context_of(config).source, settings_of(config).recipe.label
        origin = source.note or f"{source.name} from {source.place or source.source}"
        has_baseline = inputs_of(config).baseline is not None
        lines += auto_line(settings_of(config), has_baseline=has_baseline)
        lines += [f"{origin}; recipe {recipe}", *_baseline_warning(config)]
        with_code = settings_of(config).trust_remote_code
        lines += missing_models_lines(cells_of(items), trust_remote_code=with_code)
        lines += _save_warning(config)
    return [one_line(f"sst2: {line}") for line in lines]


def _save_warning(config: pytest.Config) -> list[str]:
    """Return a warning before the first cell if the baseline will not be saved because cells are left out."""
    path, settings, plan = inputs_of(config).save_path, settings_of(config), config.stash[PLAN]
    if path is None:
        return []
    selected = {cell for cell, *_ in plan.selected}
    needed = dict.fromkeys([*(cell for cell, *_ in plan.left_out), *replaced_cells(path, settings.drop_cells)])
    lost = [cell for cell in needed if cell not in selected and not matches(cell, settings.drop_cells)]
    if not lost:
        return []
    return [
        f"WARNING: baseline {path.stem!r} will not be saved, because this run does not measure {shorten(lost)}. Select "
        f"{'it' if len(lost) == 1 else 'them'}, or name what the baseline may lack: {DROP_OPTION}=CELL,..."
    ]


def _baseline_warning(config: pytest.Config) -> list[str]:
    """Return a warning if cells of a run that goes on cannot be compared with the baseline."""
    baseline, results = inputs_of(config).baseline, config.pluginmanager.getplugin(NAME)
    if baseline is None or results is None or results.is_hopeless:
        return []
    from pytest_sst2.session.early_check import warning

    return warning(baseline.origin, results.early_check)
