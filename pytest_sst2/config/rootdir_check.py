"""The root folder that pytest has chosen, held against the ini file that the user means."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from pytest_sst2.config.options import BARE_FLAGS, OPTIONS
from pytest_sst2.utils.errors import Sst2Error

# File names that pytest takes for its ini file, in its order, and the text that makes them one.
_INI_FILES = (
    ("pytest.toml", ""),
    ("pytest.ini", ""),
    (".pytest.ini", ""),
    ("pyproject.toml", "[tool.pytest"),
    ("tox.ini", "[pytest]"),
    ("setup.cfg", "[tool:pytest]"),
)


def check_root(config: pytest.Config) -> None:
    """Refuse to run without the project's ini file when a path in our options has led pytest away from it.

    pytest looks for its root before it knows any plugin's options, and takes every word of the command line that is
    a path for something to collect.

    Raises:
        Sst2Error: There is an ini file here, pytest has none, and one of our values was such a word.
    """
    if config.inipath is not None:
        return
    flags = {*BARE_FLAGS.values(), *(option.flag for option in OPTIONS)}
    folder = config.invocation_params.dir
    for flag, value in itertools.pairwise(map(str, config.invocation_params.args)):
        # Unlike Path.exists, this takes the names of many models too, longer than any file's.
        there = os.path.exists(folder / value)  # noqa: PTH110
        if flag in flags and there and (ini := _ini_file(folder)):
            raise Sst2Error(
                f"pytest took {value!r} for a folder of tests, chose {str(config.rootpath)!r} for its root, and so "
                f"missed {str(ini)!r}. Write {flag}={value} instead."
            )


def _ini_file(folder: Path) -> Path | None:
    for name, section in _INI_FILES:
        path = folder / name
        if path.is_file() and section in path.read_text(encoding="utf-8", errors="replace"):
            return path
    return None
