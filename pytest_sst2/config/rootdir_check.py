"""Check that pytest found the ini file of the project."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from pytest_sst2.config.options import BARE_FLAGS, OPTIONS
from pytest_sst2.utils.errors import Sst2Error

# Ini files of pytest, in its order of search, and the text that an ini file must contain.
_INI_FILES = (
    ("pytest.toml", ""),
    ("pytest.ini", ""),
    (".pytest.ini", ""),
    ("pyproject.toml", "[tool.pytest"),
    ("tox.ini", "[pytest]"),
    ("setup.cfg", "[tool:pytest]"),
)


def check_root(config: pytest.Config) -> None:
    """Check that no option value led pytest to another rootdir.

    pytest determines its rootdir before plugins declare their options, from all arguments that are existing paths.

    Raises:
        Sst2Error: pytest found no ini file, there is one in the current folder, and an option value is such a path.
    """
    if config.inipath is not None:
        return
    flags = {*BARE_FLAGS.values(), *(option.flag for option in OPTIONS)}
    folder = config.invocation_params.dir
    for flag, value in itertools.pairwise(map(str, config.invocation_params.args)):
        # Path.exists would raise for a list of models that is longer than a file name may be.
        is_path = os.path.exists(folder / value)  # noqa: PTH110
        if flag in flags and is_path and (ini := _ini_file(folder)):
            raise Sst2Error(
                f"pytest took {value!r} for a folder of tests, chose {str(config.rootpath)!r} as its rootdir, and "
                f"did not find {str(ini)!r}. Write {flag}={value} instead."
            )


def _ini_file(folder: Path) -> Path | None:
    for name, section in _INI_FILES:
        path = folder / name
        if path.is_file() and section in path.read_text(encoding="utf-8", errors="replace"):
            return path
    return None
