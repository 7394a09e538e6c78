"""``--sst2-seeds auto``: the seeds that may run, and the schedule that says which of them are needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.results.baselines import load_baseline
from pytest_sst2.utils.formatting import plural, shorten

if TYPE_CHECKING:
    from pytest_sst2.compare.seed_schedule import SeedSchedule
    from pytest_sst2.config.matrix import Matrix
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.results.looks import Skipped
    from pytest_sst2.session.inputs import Inputs

# From this number of seeds, a baseline's own seeds suffice: each has its pair.
_ENOUGH_PAIRS = 3


def with_seeds_of_baseline(settings: Settings) -> Settings:
    """Return the settings with the seeds that the baseline has, because seeds are compared in pairs.

    Raises:
        Sst2Error: The baseline cannot be read.
    """
    if not settings.auto_seeds or settings.compare is None:
        return settings
    baseline = load_baseline(settings.rootdir, settings.compare_base, settings.compare)
    seeds = seeds_to_run(record.seed for record in baseline.records)
    return replace(settings, recipe=replace(settings.recipe, seeds=seeds))


def seeds_to_run(of_baseline: Iterable[int]) -> tuple[int, ...]:
    """Return at most 8 seeds: those of the baseline, followed by 42 to 49 if the baseline has fewer than three."""
    known = tuple(dict.fromkeys(of_baseline))
    seeds = known if len(known) >= _ENOUGH_PAIRS else tuple(dict.fromkeys((*known, *ALL_AUTO_SEEDS)))
    return seeds[: len(ALL_AUTO_SEEDS)]


def schedule_for(settings: Settings, inputs: Inputs, matrix: Matrix) -> SeedSchedule | None:
    """Return the schedule of a run; None if every seed is needed.

    Every seed is needed without a baseline, and for a baseline or a floor that this run saves.

    Raises:
        Sst2Error: A declared pair names a model or method that a side lacks.
    """
    if inputs.baseline is None or _needs_all(settings):
        return None
    from pytest_sst2.compare.seed_schedule import SeedSchedule

    return SeedSchedule(
        inputs.baseline,
        [cell.key for cell in matrix.cells],
        settings.recipe.seeds,
        tolerance=settings.tolerance,
        alpha=settings.alpha,
        declared=settings.changed,
        looks=inputs.unfinished.looks if inputs.unfinished else (),
    )


def _needs_all(settings: Settings) -> bool:
    return not settings.auto_seeds or settings.save is not None or settings.calibrate_floors


def auto_line(settings: Settings, *, has_baseline: bool) -> list[str]:
    """Return what ``auto`` does in this run, for the lines below ``collected N items``; none without it."""
    if not settings.auto_seeds:
        return []
    seeds = settings.recipe.seeds
    listed = ", ".join(map(str, seeds))
    if has_baseline and not _needs_all(settings):
        return [f"--sst2-seeds auto: up to {plural(len(seeds), 'seed')} per cell ({listed}), until it is decided"]
    saved = "this run saves a baseline" if settings.save else "this run calibrates floors"
    reason = saved if has_baseline else "there is no baseline to compare with"
    return [f"--sst2-seeds auto: all {len(seeds)} seeds of every cell ({listed}), because {reason}"]


def skipped_note(skipped: Sequence[Skipped]) -> str:
    """Return one line about the seeds that were not needed: how many, and for each reason the cells."""
    cells: dict[str, dict[str, None]] = {}
    for one in skipped:
        name = " × ".join(part for part in (one.model, one.method) if part)
        cells.setdefault(one.reason, {})[name] = None
    reasons = "; ".join(f"{shorten([*names])} {reason}" for reason, names in cells.items())
    return f"{plural(len(skipped), 'seed')} not measured: {reasons}"
