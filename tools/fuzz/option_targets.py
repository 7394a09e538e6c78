"""Options: each type of value, and whole command lines with a pytest.ini, up to the settings of a run."""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import functools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import pytest

from pytest_sst2 import plugin
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.matrix import read_matrix
from pytest_sst2.config.options import OPTIONS, Option
from pytest_sst2.config.registry import Registry
from pytest_sst2.config.settings import Settings, read_settings
from pytest_sst2.session.inputs import load_inputs
from pytest_sst2.utils.errors import Sst2Error
from tools.fuzz.contract import SCRATCH, Target, require

_VALUES = [option for option in OPTIONS if option.parse is not None]
_WORDS = tuple(
    text.encode()
    for text in (
        *("1", "0", "-1", "1e999", "nan", "1_0", "\uff11", "9" * 30, "3/8", "8/3", "500MB", "2GB", "42,7", ",", "none"),
        *("quick", "standard", "heldout", "float32", "cpu", "minilm", "majority", "pocket", "auto", "ray", "local"),
        *(
            "~no-such-user/x",
            "../x",
            "/",
            ".",
            "a" * 300,
            "org/name@main",
            "'",
            '"',
            "\\",
            "%",
            "@",
            "=",
            "--",
            "\x1b[2J",
            "é",
        ),
        *("regressed", "incomparable", "baseline.json", "floors.toml", "true", "maybe", " ", "\t"),
    )
)


def _held(allowed: Callable[[Any], bool]) -> Callable[[Any], None]:
    return lambda value: require(allowed(value), f"{value!r}")


# What each value promises once it is parsed, by its option; of the rest, that it is a text with something in it.
_PROMISES: dict[str, Callable[[Any], None]] = {
    **dict.fromkeys(
        ("train_size", "eval_size", "epochs", "batch_size", "rounds", "ray_cpus"), _held(lambda n: 1 <= n <= 10**9)
    ),
    "max_length": _held(lambda n: 3 <= n <= 10**9),
    "learning_rate": _held(lambda x: 0 < x < math.inf),
    "min_accuracy": _held(lambda x: 0 <= x <= 1),
    "tolerance": _held(lambda x: 0 <= x <= 1),
    "alpha": _held(lambda x: 0 < x < 1),
    "cache_size": _held(lambda n: type(n) is int and n >= 1),
    "seeds": _held(lambda several: bool(several) and all(0 <= n < 2**32 for n in several)),
    "shard": _held(lambda pair: 1 <= pair[0] <= pair[1]),
    "fail_on": _held(lambda several: isinstance(several, tuple)),
    **dict.fromkeys(("models", "methods", "metrics"), _held(lambda names: all(name.strip() for name in names))),
}


def _read_option(data: bytes) -> None:
    """Parse a value as argparse does, and as an ini file's is parsed: no error but that of a bad argument may come."""
    option = _VALUES[data[0] % len(_VALUES)] if data else _VALUES[0]
    assert option.parse is not None  # noqa: S101 - switches are not among them
    try:
        value = option.parse(data[1:].decode(errors="surrogateescape"))
    except argparse.ArgumentTypeError as error:
        raise Sst2Error(str(error)) from error
    _PROMISES.get(option.name, _held(lambda text: bool(text.strip())))(value)


@functools.cache
def _config() -> Any:
    """Return pytest's own configuration, read once; each input puts an ini file and a command line into it."""
    from _pytest.config import _prepareconfig

    from tools.fuzz.results_targets import VERSIONS, sample

    folder = SCRATCH.folder / "project"
    (folder / ".sst2").mkdir(parents=True)
    (folder / ".sst2" / "main.json").write_text(sample(VERSIONS[-1]), encoding="utf-8")
    (folder / "baseline.json").write_text(sample(VERSIONS[0]), encoding="utf-8")
    (folder / "floors.toml").write_text("", encoding="utf-8")
    (folder / "encoder").mkdir()
    (folder / "encoder" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    # Ours alone, whatever else is installed, and as if called in that folder.
    without_others = mock.patch.dict(os.environ, {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})
    with without_others, contextlib.chdir(folder):
        return _prepareconfig(["-c", str(folder / "pytest.ini"), "-p", "no:cacheprovider"], plugins=[plugin])


def _read_settings(data: bytes) -> None:
    """Read the settings of a run whose options stand on a command line and in an ini file, as the input says."""
    from _pytest.config.findpaths import load_config_dict_from_file

    config = copy.copy(_config())
    given = list(_given(data))
    ini = "".join(f"{option.dest} = {_one_line(value)}\n" for option, value, in_ini in given if in_ini)
    arguments = [_argument(option, value) for option, value, in_ini in given if not in_ini]
    path = config.rootpath / "pytest.ini"
    path.write_text(f"[pytest]\n{ini}", encoding="utf-8", errors="replace")
    try:
        config._inicfg = load_config_dict_from_file(path) or {}
        config._inicache = {}
        config.option = config._parser.parse(arguments, namespace=_without_files(config.option))
    except pytest.UsageError as error:  # pytest's own sentence, with the types' in it, after how pytest is called
        raise Sst2Error(str(error).splitlines()[-1]) from error
    config.invocation_params = dataclasses.replace(config.invocation_params, args=tuple(arguments), dir=config.rootpath)
    settings = read_settings(config)
    load_inputs(settings, is_worker=False)
    matrix = read_matrix(settings, Registry(CATALOG, METHODS))
    require(bool(matrix.models) and bool(matrix.methods), "nothing to measure")
    _check_settings(settings)


def _without_files(option: argparse.Namespace) -> argparse.Namespace:
    """Return pytest's options as they are before a command line is parsed into them; with files it warns."""
    return argparse.Namespace(**{name: value for name, value in vars(option).items() if name != "file_or_dir"})


def _check_settings(settings: Settings) -> None:
    require(settings.rounds >= 1 and 0 <= settings.tolerance <= 1 and 0 < settings.alpha < 1, f"{settings}")
    require(bool(settings.recipe.seeds) and bool(settings.recipe.label), f"{settings.recipe}")
    require(settings.recipe.train_size is None or settings.recipe.train_size >= 1, f"{settings.recipe}")


def _given(data: bytes) -> Iterator[tuple[Option, str, bool]]:
    """Yield options, their values, and whether they stand in the ini file: parts of the input between two NULs."""
    for part in data.split(b"\0")[:8]:
        if part:
            option = OPTIONS[part[0] % len(OPTIONS)]
            yield option, part[1:].decode(errors="replace"), part[0] >= 128


def _one_line(value: str) -> str:
    return value.replace("\n", "\n  ").replace("\r", " ")


def _argument(option: Option, value: str) -> str:
    return option.flag if option.parse is None else f"{option.flag}={value}"


def _setting_seeds() -> list[bytes]:
    """Return each option once, with its default or a value that it takes, on the command line and in the ini file."""
    _config()  # which takes as long as pytest takes to start, and is no part of the first input
    values = {
        "data": "pocket",
        "train_size": "5",
        "floors": "floors.toml",
        "compare": "main",
        "save": "new",
        "seeds": "1,2",
    }
    found = []
    for number, option in enumerate(OPTIONS):
        value = values.get(option.name) or option.default or "1"
        found += [bytes([place]) + value.encode() for place in (number, 128 + (number - 128) % len(OPTIONS))]
    return [*found, b"\0".join(found[:6])]


def option_targets() -> Sequence[Target]:
    """Return the targets of this module."""
    seeds = [bytes([number]) + (option.default or "1").encode() for number, option in enumerate(_VALUES)]
    return (
        Target("options", _read_option, lambda: seeds, _WORDS, 512),
        Target("settings", _read_settings, _setting_seeds, (*_WORDS, b"\0"), 512),
    )
