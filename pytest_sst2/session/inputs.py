"""Inputs: the files that the settings name, loaded before the first model, and checks of where outputs go.

A mistake in one of them ends the run with exit status 4 before anything is measured or overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.config.settings import Settings
from pytest_sst2.report.write import check_folder
from pytest_sst2.results.baselines import check_free, find_baseline, load_baseline, newest_baseline
from pytest_sst2.results.file import Results
from pytest_sst2.results.floors import MINIMUM_SEEDS, Floors, load_floors
from pytest_sst2.results.git_baseline import ref_and_path
from pytest_sst2.results.output_checks import check_not_baseline, check_replaceable, check_same_shard
from pytest_sst2.results.resume import load_unfinished
from pytest_sst2.utils.atomic_write import check_writable
from pytest_sst2.utils.errors import Sst2Error


@dataclass(frozen=True)
class Inputs:
    """What a run loads before its first cell.

    Attributes:
        floors: Floors of the file that the user named.
        baseline: Results that this run is compared with.
        unfinished: Results of the file to resume.
        known_costs: Baseline with the time and memory of cells, for dividing them among shards and ordering them on
            Ray.
        save_path: File that the baseline of this run is written to.
        notes: Sentences about files that were skipped.
    """

    floors: Floors | None = None
    baseline: Results | None = None
    unfinished: Results | None = None
    known_costs: Results | None = None
    save_path: Path | None = None
    notes: tuple[str, ...] = ()


def load_inputs(settings: Settings, *, is_worker: bool) -> Inputs:
    """Check where outputs go, and load the files that the settings name.

    A worker of pytest-xdist writes no results, and starts when the controller may have begun to write them.

    Raises:
        Sst2Error: A file is missing or invalid, or an output would replace something that must stay.
    """
    if settings.calibrate_floors:
        _check_calibration(settings)
    for path, option in ((settings.json_path, "--sst2-json"), (settings.resume_path, "--sst2-resume")):
        if path is not None:
            check_writable(path, option)
    if not is_worker:
        _check_results_path(settings)
    if settings.report_path is not None:
        check_folder(settings.report_path, "--sst2-report")
    root, name = settings.rootdir, settings.compare
    save_path = None
    if settings.save:
        save_path = check_free(root, settings.save, overwrite=settings.overwrite, drop=settings.drop_cells)
    baseline = load_baseline(root, settings.compare_base, name) if name else None
    if baseline is not None:
        settings.changed.check_earlier(part for record in baseline.records for part in (record.model, record.method))
    costs, skipped = _load_known_costs(settings, baseline)
    return Inputs(
        floors=load_floors(settings.floors_path) if settings.floors_given and not settings.calibrate_floors else None,
        baseline=baseline,
        unfinished=_load_unfinished(settings),
        known_costs=costs,
        save_path=save_path,
        notes=tuple(skipped),
    )


def _check_calibration(settings: Settings) -> None:
    seeds = settings.recipe.seeds
    if len(seeds) < MINIMUM_SEEDS:
        raise Sst2Error(
            f"--sst2-calibrate-floors needs at least {MINIMUM_SEEDS} seeds and got {len(seeds)}: one number says "
            "nothing of how much seeds differ. Add --sst2-seeds 1,2,3,4,5."
        )
    check_writable(settings.floors_path, "--sst2-floors")
    if settings.floors_path.exists():
        load_floors(settings.floors_path)


def _check_results_path(settings: Settings) -> None:
    """Refuse to write results over a baseline, or over a file that holds no results."""
    path, name = settings.results_path, settings.compare
    if path is None:
        return
    is_file = name and not ref_and_path(name)
    compared = find_baseline(settings.rootdir, settings.compare_base, name) if name and is_file else None
    check_not_baseline(path, settings.results_option, compared)
    if not settings.resumes_in_place:
        check_replaceable(path, settings.results_option)


def _load_unfinished(settings: Settings) -> Results | None:
    if settings.resume_path is None:
        return None
    unfinished = load_unfinished(settings.resume_path)
    if settings.shard is not None and settings.resumes_in_place:
        check_same_shard(settings.resume_path, unfinished, settings.shard)
    return unfinished


def _load_known_costs(settings: Settings, baseline: Results | None) -> tuple[Results | None, list[str]]:
    """Return the baseline with the costs of cells, and a sentence for each file that was skipped to find the newest."""
    if settings.shard is None and settings.executor != "ray":
        return None, []
    return (baseline, []) if baseline is not None else newest_baseline(settings.rootdir)
