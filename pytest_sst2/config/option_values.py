"""Option values: what the command line or an ini file says of an option, parsed, and where its paths start from."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.config.option_parsers import BadValue
from pytest_sst2.config.options import UNSET, Option
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate

# Options of pytest-benchmark that keep or judge a time.
_TIMES_KEPT = ("save", "autosave", "save_data", "json", "compare", "compare_fail", "histogram")


def value_of(config: pytest.Config, option: Option) -> Any:
    """Return the option's value: command line before ini file before default.

    Raises:
        Sst2Error: What an ini file says cannot be read.
    """
    given = getattr(config.option, option.dest, None)
    if isinstance(given, list):  # what argparse of Python 3.11 makes of --sst2-data=--, past the option's own type
        raise Sst2Error(f"{option.flag}: a value is missing.")
    if given is not None:
        return given
    try:
        ini = config.getini(option.dest)
    except (TypeError, ValueError, pytest.UsageError) as error:  # a quote that is never closed, no truth value
        raise Sst2Error(f"ini option {option.dest}: {error}") from error
    if option.parse is None:
        return bool(ini)
    if ini is UNSET or ini == "":
        return option.parse(option.default) if option.default is not None else None
    try:
        return option.parse(_listed(ini) if isinstance(ini, list) else str(ini))
    except argparse.ArgumentTypeError as error:
        raise Sst2Error(f"ini option {option.dest}: {error}") from error


def _listed(items: Sequence[Any]) -> str:
    """Return the items of a list as they are typed; pytest hands on those of a TOML file whatever they are.

    Raises:
        BadValue: There are none, or one is neither a text nor a number.
    """
    if not items:
        raise BadValue("it names nothing; give a value, or leave the line out for the default")
    for item in items:
        if not isinstance(item, str | int | float) or isinstance(item, bool):
            shown = truncate(json.dumps(item, default=str), 100)
            raise BadValue(f"{shown} is neither a text nor a number, and nothing else may stand in its list")
    return ",".join(map(str, items))


def base_of(config: pytest.Config, option: Option) -> Path:
    """Return the folder that a relative path in the option's value starts from."""
    if getattr(config.option, option.dest, None) is not None or config.inipath is None:
        return config.invocation_params.dir
    return config.inipath.parent


def times_are_asked_for(config: pytest.Config, values: Mapping[str, Any]) -> bool:
    """Tell whether this run is made for its times: a result from a cache has none."""
    return values["rounds"] > 1 or any(getattr(config.option, f"benchmark_{name}", None) for name in _TIMES_KEPT)
