"""Before the first cell: can the baseline be compared with this run at all?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_sst2.compare.early_check import EarlyCheck, check_early
from pytest_sst2.data.sources import source_of
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.instruments.data_fingerprint import overlap, rows_fingerprint
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.session.planned_cells import PlannedCell
from pytest_sst2.session.stash import inputs_of, settings_of
from pytest_sst2.utils.formatting import shorten

if TYPE_CHECKING:
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.data.splits import Splits


def early_check(
    settings: Settings, baseline: Results, cells: Iterable[PlannedCell], splits: Callable[[int], Splits]
) -> EarlyCheck:
    """Return what is certain about the comparison of these cells with the baseline, which has a record.

    Raises:
        Sst2Error: A declared change cannot be right, or the rows of a seed cannot be drawn.
    """
    expected = list(_expected_records(settings, baseline, cells, splits))
    return check_early(
        baseline, expected, tolerance=settings.tolerance, alpha=settings.alpha, declared=settings.changed
    )


def splits_of(config: pytest.Config) -> Callable[[int], Splits]:
    """Return a function from a seed to the rows of this run, in a process that measures no cell.

    Raises:
        Sst2Error: The data is not available or is invalid.
    """
    settings, inputs = settings_of(config), inputs_of(config)
    source = source_of(settings, floors=inputs.floors, baseline=inputs.baseline)
    return functools.cache(lambda seed: draw_splits(source, settings.recipe, seed))


def stops(settings: Settings, found: EarlyCheck) -> bool:
    """Return whether the run should end before its first cell: it would only find out what is known already."""
    return bool(found.is_hopeless and "incomparable" in settings.fail_on and not settings.anyway)


def warning(baseline: str, found: EarlyCheck | None) -> list[str]:
    """Return a warning about cells that the baseline cannot be compared with, for a run that goes on."""
    if found is None or not (found.is_hopeless or found.comparison.cells):
        return []
    cells = "no cell" if found.is_hopeless else shorten([cell.name for cell in found.comparison.cells])
    problems = dict.fromkeys(reason for cell in found.comparison.cells for reason in cell.reasons)
    why = shorten([*problems], 3) or "it has none of these cells"
    verb = "can" if found.is_hopeless else "cannot"
    hint = f". If that changed on purpose, add {found.comparison.to_declare}" if found.comparison.to_declare else ""
    return [f"WARNING: {cells} {verb} be compared with baseline {baseline!r}: {why}{hint}"]


def _expected_records(
    settings: Settings, baseline: Results, cells: Iterable[PlannedCell], splits: Callable[[int], Splits]
) -> Iterator[Record]:
    """Yield each cell's record as far as it is known: the baseline's, with the recipe and the rows of this run."""
    known: dict[tuple[str | None, str, int | None], Record] = {}
    known |= {(record.model, record.method, None): record for record in reversed(baseline.records)}
    known |= {(record.model, record.method, record.seed): record for record in reversed(baseline.records)}
    for name, model, method, seed in cells:
        like = known.get((model, method, seed)) or known.get((model, method, None)) or baseline.records[0]
        rows = splits(seed)
        fingerprint = like.fingerprint and replace(
            like.fingerprint,
            train=rows_fingerprint(rows.train),
            evaluation=rows_fingerprint(rows.evaluation),
            overlap=overlap(rows.train, rows.evaluation),
        )
        yield replace(
            like,
            cell=name,
            model=model,
            method=method,
            seed=seed,
            recipe=settings.recipe,
            recipe_label=settings.recipe.label,
            dataset=rows.info,
            labels=rows.evaluation.labels.tolist(),
            fingerprint=fingerprint,
        )
