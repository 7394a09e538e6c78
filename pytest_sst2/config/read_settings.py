"""Read the settings of a run: parse the options, and refuse those that contradict each other."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.declared import CHANGED_OPTION, Declared
from pytest_sst2.config.misspelt import check_ini_options
from pytest_sst2.config.option_parsers import AUTO_SEEDS, current_words
from pytest_sst2.config.option_values import base_folder, option_value, warn_once
from pytest_sst2.config.options import DATA_SOURCES, OPTIONS, RENAMED_FAIL_ON
from pytest_sst2.config.project_folder import check_ini_file, project_folder
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS, build_recipe
from pytest_sst2.config.settings import Settings, Shard
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command
from pytest_sst2.utils.formatting import quoted
from pytest_sst2.utils.paths import folder_at, path_given, slashes_hint

# Options of pytest-benchmark that keep or judge a time.
_KEEPS_TIMES = ("save", "autosave", "save_data", "json", "compare", "compare_fail", "histogram")
_RECIPE_OPTIONS = ("train_size", "eval_size", "seeds", "epochs", "batch_size", "learning_rate", "max_length", "dtype")
# Options whose parsed value is the setting.
_UNCHANGED = (
    *("models", "device", "rounds", "min_accuracy", "save", "compare", "tolerance", "alpha", "overwrite"),
    *("anyway", "trust_remote_code", "ray_address", "ray_cpus", "exclusive", "path", "columns", "labels"),
)


def read_settings(config: pytest.Config) -> Settings:
    """Parse command line and ini file into Settings.

    Relative paths start from the folder pytest was called in; those of an ini file from the folder of the ini file.

    Raises:
        Sst2Error: A value is wrong, ``-o`` sets an ini option that does not exist, a data folder is missing, or two
            options contradict each other.
    """
    check_ini_file(config)
    check_ini_options(config)
    project = project_folder(config)
    values = {option.name: option_value(config, option) for option in OPTIONS}
    prints_json = values["json"] == "-"
    values["json"] = None if prints_json else values["json"]
    if auto_seeds := values["seeds"] == AUTO_SEEDS:
        values["seeds"] = ALL_AUTO_SEEDS
    base = {option.name: base_folder(config, option) for option in OPTIONS}
    paths = {
        name: path_given(base[name], values[name], f"--sst2-{name}") if values[name] else None
        for name in ("json", "report", "resume")
    }
    return Settings(
        **{name: values[name] for name in _UNCHANGED},
        models_base=base["models"],
        methods=values["methods"] or (),
        data=_data_source(config, values, base["data"]),
        recipe=build_recipe(
            values["recipe"], evaluation=values["eval"], **{name: values[name] for name in _RECIPE_OPTIONS}
        ),
        cache_bytes=None if values["no_cache"] or _keeps_times(config, values) else values["cache_size"],
        metrics=values["metrics"] or (),
        rootdir=project,
        floors_path=_floors_path(config, project, values["floors"], base["floors"]),
        floors_given=bool(values["floors"]),
        calibrate_floors=_calibrate_floors(values),
        compare_base=base["compare"],
        changed=_changed(config, values),
        drop_cells=values["drop_cells"] or (),
        fail_on=current_words(
            values["fail_on"], RENAMED_FAIL_ON, lambda text: warn_once(config, f"--sst2-fail-on: {text}")
        ),
        json_path=paths["json"],
        prints_json=prints_json,
        report_path=paths["report"],
        resume_path=paths["resume"],
        executor=_executor(config, values),
        shard=_shard(values),
        talkative=getattr(config.option, "verbose", 0) > 0,
        ci=os.environ.get("CI", "").lower() not in ("", "0", "false"),
        auto_seeds=auto_seeds,
        against=values["against"] or (),
        against_gates=getattr(config.option, "sst2_fail_on", None) is not None and not values["compare"],
    )


def _keeps_times(config: pytest.Config, values: Mapping[str, Any]) -> bool:
    """Return whether the run is made for its times, which cached embeddings would falsify."""
    return values["rounds"] > 1 or any(getattr(config.option, f"benchmark_{name}", None) for name in _KEEPS_TIMES)


def _floors_path(config: pytest.Config, project: Path, given: str | None, base: Path) -> Path:
    """Return the floors file: the one named, else the project's, else the one below the folder pytest was called in."""
    if given:
        return path_given(base, given, "--sst2-floors")
    usual = Path("benchmarks") / "floors.toml"
    here = config.invocation_params.dir / usual
    return here if here.is_file() and not (project / usual).is_file() else project / usual


def _data_source(config: pytest.Config, values: Mapping[str, Any], base: Path) -> str:
    data: str = values["data"]
    if data in DATA_SOURCES:
        for name in ("columns", "labels"):
            if getattr(config.option, f"sst2_{name}", None) is not None:
                raise Sst2Error(f"--sst2-{name} needs --sst2-data=FOLDER: {data} has its own columns and labels.")
        return data
    path = folder_at(base, data, or_file=True)
    if path is None:
        raise Sst2Error(
            f"--sst2-data {quoted(data)} is neither {', '.join(DATA_SOURCES)} nor a folder or file below "
            f"{base}.{slashes_hint(data)} "
            "A folder needs files for train and validation with the columns sentence and label."
        )
    return str(path)


def _calibrate_floors(values: Mapping[str, Any]) -> bool:
    if values["calibrate_floors"] and values["min_accuracy"] is not None:
        raise Sst2Error(
            "--sst2-calibrate-floors writes floors and --sst2-min-accuracy overrides them; give one of the two."
        )
    return bool(values["calibrate_floors"])


def _executor(config: pytest.Config, values: Mapping[str, Any]) -> str:
    """Return where the cells run, unless Ray is not installed or the options contradict each other."""
    executor = str(values["executor"])
    if executor != "ray":
        if values["ray_address"]:
            raise Sst2Error("--sst2-ray-address needs --sst2-executor ray.")
        return executor
    if importlib.util.find_spec("ray") is None:
        raise Sst2Error(f"--sst2-executor ray needs Ray, which is not installed: {install_command('ray')}")
    if hasattr(config, "workerinput") or getattr(config.option, "dist", "no") != "no":
        raise Sst2Error("--sst2-executor ray and pytest-xdist's -n both distribute the cells; give one of the two.")
    return executor


def _changed(config: pytest.Config, values: Mapping[str, Any]) -> Declared:
    if getattr(config.option, "sst2_changed", None) and not values["compare"]:
        raise Sst2Error(f"{CHANGED_OPTION} needs --sst2-compare NAME|FILE, the results to compare with.")
    return Declared.of(values["changed"] or ())


def _shard(values: Mapping[str, Any]) -> Shard | None:
    """Return the part of the cells to measure, unless another option needs all cells."""
    if not values["shard"]:
        return None
    shard = Shard(*values["shard"])
    if values["save"]:
        raise Sst2Error(
            f"--sst2-save with --sst2-shard {shard} would save a baseline with cells missing. Write each shard to a "
            f"file with --sst2-json, and join the files: pytest-sst2 merge FILE ... --save {values['save']}."
        )
    if values["calibrate_floors"]:
        raise Sst2Error(
            f"--sst2-calibrate-floors with --sst2-shard {shard} would make floors from some of the seeds. Write each "
            "shard to a file with --sst2-json, join the files with pytest-sst2 merge FILE ... -o all.json, and "
            "calibrate from all seeds: --sst2-calibrate-floors --sst2-resume all.json."
        )
    return shard
