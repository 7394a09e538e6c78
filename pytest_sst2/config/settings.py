"""Settings: the options of one run, parsed from the command line and the ini file.

``Settings`` holds plain values, so that it can be pickled for a worker. ``session.inputs`` loads the files that they
name, and ``config.matrix`` looks up the models and methods.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.declared import CHANGED_OPTION, Declared
from pytest_sst2.config.option_parsers import AUTO_SEEDS, BadValue, current_words
from pytest_sst2.config.options import DATA_SOURCES, OPTIONS, RENAMED_FAIL_ON, UNSET, Option, is_set
from pytest_sst2.config.project_folder import check_ini_file, project_folder
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS, ComputationPath, Recipe, build_recipe
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import install_command
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.paths import folder_at, path_given, real_path, slashes_hint

# Options of pytest-benchmark that keep or judge a time.
_KEEPS_TIMES = ("save", "autosave", "save_data", "json", "compare", "compare_fail", "histogram")
_RECIPE_OPTIONS = ("train_size", "eval_size", "seeds", "epochs", "batch_size", "learning_rate", "max_length", "dtype")
# Options whose parsed value is the setting.
_UNCHANGED = (
    *("models", "device", "rounds", "min_accuracy", "save", "compare", "tolerance", "alpha", "overwrite"),
    *("anyway", "trust_remote_code", "ray_address", "ray_cpus", "exclusive", "path", "columns", "labels"),
)


@dataclass(frozen=True)
class Shard:
    """One part of a run, ``3/8``: ``number`` counts from 1 to ``of``."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(frozen=True)
class Settings:
    """The values of all options, checked as far as possible without loading a file.

    The attributes are described by the help of their options (``pytest --help``). These differ from their option:

    Attributes:
        models_base: Folder that relative model paths start from.
        methods: Methods as typed, in order; empty for all.
        data: ``auto``, ``hub``, ``pocket`` or the absolute path of a folder.
        recipe: The preset with its overrides. With ``auto_seeds``, it has all seeds that may run.
        cache_bytes: Size limit of the embedding cache; None switches the cache off.
        rootdir: Folder of the project; ``.sst2/`` is in it.
        prints_json: Whether the results file is printed to stdout (``--sst2-json -``).
        drop_cells: Names and patterns of cells; empty for none.
        floors_given: Whether the user named the floors file, which must exist then.
        compare_base: Folder that a relative ``compare`` starts from.
        changed: What changed on purpose since the results of ``compare``.
        against: Which cells of the run are compared with which, ``NAME`` or ``A=B``; empty for none.
        against_gates: Whether such a comparison can fail the run: ``--sst2-fail-on`` was typed, and there is no
            baseline that it could be about.
        tolerance: Accuracy that may be lost, as a share.
        talkative: Whether libraries may print to the terminal (``-v``).
        ci: Whether this is a CI run, where data is never substituted.
        auto_seeds: Whether the later seeds of a cell are skipped as soon as its verdict is decided.
    """

    models: tuple[str, ...]
    models_base: Path
    methods: tuple[str, ...]
    data: str
    recipe: Recipe
    device: str
    rounds: int
    cache_bytes: int | None
    metrics: tuple[str, ...]
    rootdir: Path
    floors_path: Path
    floors_given: bool
    min_accuracy: float | None
    calibrate_floors: bool
    save: str | None
    compare: str | None
    compare_base: Path
    changed: Declared
    fail_on: tuple[str, ...]
    anyway: bool
    tolerance: float
    alpha: float
    drop_cells: tuple[str, ...]
    overwrite: bool
    trust_remote_code: bool
    json_path: Path | None
    prints_json: bool
    report_path: Path | None
    resume_path: Path | None
    executor: str
    ray_address: str | None
    ray_cpus: int
    exclusive: bool
    shard: Shard | None
    talkative: bool
    ci: bool
    auto_seeds: bool = False
    columns: tuple[str, str] | None = None
    labels: tuple[str, str] | None = None
    against: tuple[str, ...] = ()
    against_gates: bool = False
    path: ComputationPath = "fast"

    @property
    def results_path(self) -> Path | None:
        """File that records are written to as they finish: ``--sst2-json``, else ``--sst2-resume``."""
        return self.json_path or self.resume_path

    @property
    def results_option(self) -> str:
        """The option that named ``results_path``."""
        return "--sst2-json" if self.json_path else "--sst2-resume"

    @property
    def resumes_in_place(self) -> bool:
        """Whether the resumed file is also the file that records are written to."""
        if self.resume_path is None:
            return False
        return self.json_path is None or real_path(self.json_path) == real_path(self.resume_path)


def read_settings(config: pytest.Config) -> Settings:
    """Parse command line and ini file into Settings.

    Relative paths start from the folder pytest was called in; those of an ini file from the folder of the ini file.

    Raises:
        Sst2Error: A value is wrong, a data folder is missing, or two options contradict each other.
    """
    check_ini_file(config)
    project = project_folder(config)
    values = {option.name: option_value(config, option) for option in OPTIONS}
    prints_json = values["json"] == "-"
    values["json"] = None if prints_json else values["json"]
    if auto_seeds := values["seeds"] == AUTO_SEEDS:
        values["seeds"] = ALL_AUTO_SEEDS
    base = {option.name: _base_folder(config, option) for option in OPTIONS}
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
            values["fail_on"], RENAMED_FAIL_ON, lambda text: _warn_deprecated(config, f"--sst2-fail-on: {text}")
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


def option_value(config: pytest.Config, option: Option) -> Any:
    """Return the parsed value of an option: command line before ini file before default.

    Raises:
        Sst2Error: The value in the ini file is invalid.
    """
    if option.old is not None and is_set(config, option.old):
        _warn_deprecated(config, f"{option.old.flag} is deprecated; use {option.flag} ({option.dest} in an ini file).")
        return option_value(config, option.old)
    given = getattr(config.option, option.dest, None)
    if isinstance(given, list):  # argparse of Python 3.11 stores [] for --sst2-data=-- without calling the parser
        raise Sst2Error(f"{option.flag}: a value is missing.")
    if given is not None:
        return given
    try:
        ini = config.getini(option.dest)
    except (TypeError, ValueError, pytest.UsageError) as error:  # an unclosed quote, or no boolean
        raise Sst2Error(f"ini option {option.dest}: {error}") from error
    if option.parse is None:
        return bool(ini)
    if ini is UNSET or ini == "":
        return option.parse(option.default) if option.default is not None else None
    try:
        return option.parse(_joined(ini) if isinstance(ini, list) else str(ini))
    except argparse.ArgumentTypeError as error:
        raise Sst2Error(f"ini option {option.dest}: {error}") from error


def _joined(items: Sequence[Any]) -> str:
    """Return the items of a TOML list as they would be typed on the command line; raises BadValue."""
    if not items:
        raise BadValue("the list is empty; give a value, or remove the line for the default")
    for item in items:
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            text = truncate(json.dumps(item, default=str), 100)
            raise BadValue(f"{text} is neither a string nor a number, and the list may hold nothing else")
    return ",".join(map(str, items))


def _base_folder(config: pytest.Config, option: Option) -> Path:
    """Return the folder that a relative path in the value of an option starts from."""
    if getattr(config.option, option.dest, None) is not None or config.inipath is None:
        return config.invocation_params.dir
    return config.inipath.parent


def _warn_deprecated(config: pytest.Config, message: str) -> None:
    """Issue a DeprecationWarning, once per run and not once per worker; an Sst2Error if warnings are errors."""
    if hasattr(config, "workerinput"):
        return
    try:
        config.issue_config_time_warning(DeprecationWarning(message), stacklevel=2)
    except DeprecationWarning as error:
        raise Sst2Error(message) from error


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
    folder = folder_at(base, data)
    if folder is None:
        raise Sst2Error(
            f"--sst2-data {quoted(data)} is neither {', '.join(DATA_SOURCES)} nor a folder below "
            f"{base}.{slashes_hint(data)} "
            "A folder needs files for train and validation with the columns sentence and label."
        )
    return str(folder)


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
