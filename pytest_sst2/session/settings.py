"""Settings: the options of one run, parsed once and checked, so that a mistake ends it before anything is loaded."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_sst2.config.matrix import distinct_models
from pytest_sst2.config.option_values import base_of, times_are_asked_for, value_of
from pytest_sst2.config.options import DATA_SOURCES, OPTIONS
from pytest_sst2.config.recipes import Recipe, build_recipe
from pytest_sst2.config.registry import Registry
from pytest_sst2.config.rootdir_check import check_root
from pytest_sst2.config.specs import MethodSpec, ModelSpec
from pytest_sst2.report.write import check_folder
from pytest_sst2.results.floors import MINIMUM_SEEDS, Floors, load_floors
from pytest_sst2.utils.atomic_write import check_writable
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.paths import folder_at, path_given, slashes_hint
from pytest_sst2.utils.processes import processes

if TYPE_CHECKING:
    from pytest_sst2.config.shard import Shard
    from pytest_sst2.results.file import Results


@dataclass(frozen=True)
class Settings:
    """What was asked for, checked: nothing here can still turn out to be misspelt.

    Attributes:
        models: Distinct models in the order given.
        methods: Methods in the order given; all of them where none was named.
        registry: What the names were looked up in.
        data: ``auto``, ``hub``, ``pocket`` or the absolute path of a folder.
        recipe: The preset with its overrides.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        rounds: Repetitions of each cell.
        cache_bytes: The size of the cache of embeddings; None where nothing is to be taken from one.
        metrics: Names of metrics beside accuracy.
        floors: The floors file named by the user, read; None where none was named.
        floors_path: Where ``--sst2-calibrate`` writes.
        min_accuracy: One floor for every cell, or None.
        calibrate: Write floors instead of asserting them.
        save_path: Where the baseline of this run goes, or None.
        baseline: What this run is compared with, read; None where nothing was asked for.
        fail_on: What fails the comparison.
        tolerance: The share of accuracy that may be lost.
        alpha: The level of significance.
        overwrite: Replace a saved baseline, lower a floor.
        trust_remote_code: Allow code from model repositories.
        json_path: Where the records go, or None.
        report_path: The folder the report goes to, or None.
        resume_path: The file that cells are taken from, or None.
        unfinished: What it holds; None where nothing was asked for.
        executor: ``local`` or ``ray``.
        ray_address: Of Ray's cluster; None where one is started for the run.
        ray_cpus: The cores that each cell owns there.
        exclusive: Measure one cell at a time.
        shard: Which part of the cells is measured; None for all of them.
        known_costs: The baseline that says what cells cost, where they are divided among shards or handed out to a
            cluster; None where there is none, or nobody asks.
        talkative: Whether the libraries may say what they do (``-v``).
        ci: Whether this is a CI run, where nothing may be substituted.
    """

    models: tuple[ModelSpec, ...]
    methods: tuple[MethodSpec, ...]
    registry: Registry
    data: str
    recipe: Recipe
    device: str
    rounds: int
    cache_bytes: int | None
    metrics: tuple[str, ...]
    floors: Floors | None
    floors_path: Path
    min_accuracy: float | None
    calibrate: bool
    save_path: Path | None
    baseline: Results | None
    fail_on: tuple[str, ...]
    tolerance: float
    alpha: float
    overwrite: bool
    trust_remote_code: bool
    json_path: Path | None
    report_path: Path | None
    resume_path: Path | None
    unfinished: Results | None
    executor: str
    ray_address: str | None
    ray_cpus: int
    exclusive: bool
    shard: Shard | None
    known_costs: Results | None
    talkative: bool
    ci: bool

    @property
    def results_path(self) -> Path | None:
        """Where records are written as they are finished: ``--sst2-json``, else ``--sst2-resume``."""
        return self.json_path or self.resume_path


def read_settings(config: pytest.Config, registry: Registry) -> Settings:
    """Parse command line and ini file into Settings.

    Relative paths start from the folder pytest was called in, those of an ini file from the ini file's.

    Raises:
        Sst2Error: A name is unknown, a folder or file missing, or two options contradict each other.
    """
    check_root(config)
    values = {option.name: value_of(config, option) for option in OPTIONS}
    base = {option.name: base_of(config, option) for option in OPTIONS}
    shard = _shard(values)
    recipe = build_recipe(
        values["recipe"],
        train_size=values["train_size"],
        evaluation=values["eval"],
        eval_size=values["eval_size"],
        seeds=values["seeds"],
        epochs=values["epochs"],
        batch_size=values["batch_size"],
        learning_rate=values["learning_rate"],
        max_length=values["max_length"],
        dtype=values["dtype"],
    )
    floors_path = _floors_path(config, values["floors"], base["floors"])
    calibrate = bool(values["calibrate"])
    if calibrate:
        _check_calibration(recipe, values["min_accuracy"], floors_path)
    json_path, resume_path = (_results_path(base[name], values[name], f"--sst2-{name}") for name in ("json", "resume"))
    _check_spared(config, json_path, resume_path, values["compare"], base["compare"])
    report_path = path_given(base["report"], values["report"], "--sst2-report") if values["report"] else None
    if report_path:
        check_folder(report_path, "--sst2-report")
    baseline = _baseline(config, values["compare"], base["compare"])
    return Settings(
        models=distinct_models(registry.model(name, base=base["models"]) for name in values["models"]),
        methods=tuple(registry.method(name) for name in values["methods"] or registry.methods),
        registry=registry,
        data=_data_source(values["data"], base["data"]),
        recipe=recipe,
        device=values["device"],
        rounds=values["rounds"],
        cache_bytes=None if values["no_cache"] or times_are_asked_for(config, values) else values["cache_size"],
        metrics=values["metrics"] or (),
        floors=load_floors(floors_path) if values["floors"] and not calibrate else None,
        floors_path=floors_path,
        min_accuracy=values["min_accuracy"],
        calibrate=calibrate,
        save_path=_save_path(config, values["save"], overwrite=bool(values["overwrite"])),
        baseline=baseline,
        fail_on=values["fail_on"],
        tolerance=values["tolerance"],
        alpha=values["alpha"],
        overwrite=bool(values["overwrite"]),
        trust_remote_code=bool(values["trust_remote_code"]),
        json_path=json_path,
        report_path=report_path,
        resume_path=resume_path,
        unfinished=_unfinished(resume_path, json_path, shard),
        executor=_executor(config, values),
        ray_address=values["ray_address"],
        ray_cpus=values["ray_cpus"],
        exclusive=bool(values["exclusive"]),
        shard=shard,
        known_costs=(baseline or _newest_baseline(config)) if shard or values["executor"] == "ray" else None,
        talkative=getattr(config.option, "verbose", 0) > 0,
        ci=os.environ.get("CI", "").lower() not in ("", "0", "false"),
    )


def read_again(settings: Settings) -> Settings:
    """Return the settings with what the results file to resume holds now.

    Raises:
        Sst2Error: It is no results file any more.
    """
    return dataclasses.replace(
        settings, unfinished=_unfinished(settings.resume_path, settings.json_path, settings.shard)
    )


def _floors_path(config: pytest.Config, given: str | None, base: Path) -> Path:
    """Return the floors file: the one named, else the project's, else the one below the folder pytest was called in."""
    if given:
        return path_given(base, given, "--sst2-floors")
    usual = Path("benchmarks") / "floors.toml"
    here = config.invocation_params.dir / usual
    return here if here.is_file() and not (config.rootpath / usual).is_file() else config.rootpath / usual


def _data_source(data: str, base: Path) -> str:
    if data in DATA_SOURCES:
        return data
    folder = folder_at(base, data)
    if folder is None:
        raise Sst2Error(
            f"--sst2-data {quoted(data)} is neither {', '.join(DATA_SOURCES)} nor a folder below "
            f"{base}.{slashes_hint(data)} "
            "A folder needs files for train and validation with the columns sentence and label."
        )
    return str(folder)


def _executor(config: pytest.Config, values: Mapping[str, Any]) -> str:
    """Return where the cells run, if they can."""
    executor = str(values["executor"])
    if executor != "ray":
        if values["ray_address"]:
            raise Sst2Error("--sst2-ray-address says where Ray is; add --sst2-executor ray to run the cells there.")
        return executor
    if importlib.util.find_spec("ray") is None:
        raise Sst2Error("--sst2-executor ray needs Ray, which is not installed: pip install 'pytest-sst2[ray]'.")
    if hasattr(config, "workerinput") or getattr(config.option, "dist", "no") != "no":
        raise Sst2Error("--sst2-executor ray and pytest-xdist's -n both hand out the cells; give one of the two.")
    if processes() > 1:
        raise Sst2Error("--sst2-executor ray cannot run under torchrun, whose processes would each start every cell.")
    return executor


def _results_path(base: Path, given: str | None, option: str) -> Path | None:
    if not given:
        return None
    path = path_given(base, given, option)
    check_writable(path, option)
    return path


def _check_spared(
    config: pytest.Config, json_path: Path | None, resume_path: Path | None, compared: str | None, base: Path
) -> None:
    """Refuse to write results over a baseline, or over something else.

    Workers of pytest-xdist write none, and come when the controller may have begun to.
    """
    written = json_path or resume_path
    if written is None or hasattr(config, "workerinput"):
        return
    from pytest_sst2.results.baselines import find_baseline
    from pytest_sst2.results.output_checks import check_replaceable, check_spared

    baseline = find_baseline(config.rootpath, base, compared) if compared else None
    check_spared(written, "--sst2-json" if json_path else "--sst2-resume", baseline)
    if json_path and not _is_same(json_path, resume_path):
        check_replaceable(json_path, "--sst2-json")


def _is_same(path: Path, other: Path | None) -> bool:
    return other is not None and path.resolve() == other.resolve()


def _unfinished(path: Path | None, json_path: Path | None, shard: Shard | None) -> Results | None:
    if path is None:
        return None
    from pytest_sst2.results.output_checks import check_shard
    from pytest_sst2.results.resume import load_unfinished

    unfinished = load_unfinished(path)
    if shard is not None and (json_path is None or _is_same(json_path, path)):
        check_shard(path, unfinished, shard)
    return unfinished


def _save_path(config: pytest.Config, name: str | None, *, overwrite: bool) -> Path | None:
    if not name:
        return None
    from pytest_sst2.results.baselines import check_free

    return check_free(config.rootpath, name, overwrite=overwrite)


def _baseline(config: pytest.Config, wanted: str | None, base: Path) -> Results | None:
    if not wanted:
        return None
    from pytest_sst2.results.baselines import load_baseline

    return load_baseline(config.rootpath, base, wanted)


def _shard(values: Mapping[str, Any]) -> Shard | None:
    """Return which part of the cells is asked for.

    Raises:
        Sst2Error: Something is to be made of all cells, which one part does not have.
    """
    if not values["shard"]:
        return None
    from pytest_sst2.config.shard import Shard

    shard = Shard(*values["shard"])
    if values["save"]:
        raise Sst2Error(
            f"--sst2-save with --sst2-shard {shard} would keep a baseline with cells missing. Write each shard to a "
            f"file with --sst2-json, and join them: pytest-sst2 merge FILE ... --save {values['save']}."
        )
    if values["calibrate"]:
        raise Sst2Error(
            f"--sst2-calibrate with --sst2-shard {shard} would make floors of some of the seeds. Write each shard to a "
            "file with --sst2-json, join them with pytest-sst2 merge FILE ... -o all.json, and calibrate from all of "
            "them: --sst2-calibrate --sst2-resume all.json."
        )
    return shard


def _newest_baseline(config: pytest.Config) -> Results | None:
    from pytest_sst2.results.baselines import newest_baseline

    try:
        return newest_baseline(config.rootpath)
    except Sst2Error as error:
        raise Sst2Error(
            "the newest baseline says what cells cost, by which --sst2-shard divides them and --sst2-executor ray "
            f"puts them in order. {error} Mend or remove it, or name another with --sst2-compare."
        ) from error


def _check_calibration(recipe: Recipe, min_accuracy: float | None, path: Path) -> None:
    if len(recipe.seeds) < MINIMUM_SEEDS:
        raise Sst2Error(
            f"--sst2-calibrate needs at least {MINIMUM_SEEDS} seeds and got {len(recipe.seeds)}: one number says "
            "nothing of how much seeds differ. Add --sst2-seeds 1,2,3,4,5."
        )
    if min_accuracy is not None:
        raise Sst2Error("--sst2-calibrate writes floors and --sst2-min-accuracy overrides them; give one of the two.")
    check_writable(path, "--sst2-floors")
    if path.exists():
        load_floors(path)
