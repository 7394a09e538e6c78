"""The value of one option: from the command line, else the ini file, else its default."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.option_parsers import BadValue
from pytest_sst2.config.options import UNSET, Option, is_set
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate


def option_value(config: pytest.Config, option: Option) -> Any:
    """Return the parsed value of an option: command line before ini file before default.

    Raises:
        Sst2Error: The value in the ini file is invalid.
    """
    if option.old is not None and is_set(config, option.old):
        warn_once(config, f"{option.old.flag} is deprecated; use {option.flag} ({option.dest} in an ini file).")
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


def base_folder(config: pytest.Config, option: Option) -> Path:
    """Return the folder that a relative path in the value of an option starts from."""
    if getattr(config.option, option.dest, None) is not None or config.inipath is None:
        return config.invocation_params.dir
    return config.inipath.parent


def warn_once(config: pytest.Config, message: str, kind: type[Warning] = DeprecationWarning) -> None:
    """Issue a warning, once per run and not once per worker; an Sst2Error if warnings are errors."""
    if hasattr(config, "workerinput"):
        return
    try:
        config.issue_config_time_warning(kind(message), stacklevel=2)
    except kind as error:
        raise Sst2Error(message) from error
