"""The folder of the user's project, and a check that no option value made pytest read another project's ini file."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pytest_sst2.config.options import BARE_FLAGS, OPTIONS
from pytest_sst2.utils.errors import Sst2Error

# Ini files of pytest, in its order of search, and the text that an ini file must contain.
_INI_FILES = (
    ("pytest.toml", ""),
    (".pytest.toml", ""),
    ("pytest.ini", ""),
    (".pytest.ini", ""),
    ("pyproject.toml", "[tool.pytest"),
    ("tox.ini", "[pytest]"),
    ("setup.cfg", "[tool:pytest]"),
)
_PROJECT_FILES = ("pyproject.toml", "setup.py")


def project_folder(config: pytest.Config) -> Path:
    """Return the folder that holds ``.sst2/`` and ``benchmarks/floors.toml``.

    This is pytest's rootdir if an ini file or ``--rootdir`` decides it. Otherwise it is the nearest folder upwards with
    a project file, or the folder pytest was called in: pytest would take the common ancestor of all paths on the
    command line, and the data of ``--sst2-data FOLDER`` is one of them.
    """
    if config.inipath is not None or config.getoption("rootdir", None):
        return config.rootpath
    here = config.invocation_params.dir
    return next((folder for folder in _upwards(here) if _has_project_file(folder)), here)


def check_ini_file(config: pytest.Config) -> None:
    """Check that no option value led pytest to another ini file.

    pytest looks for its ini file before plugins declare their options, from all arguments that are existing paths.

    Raises:
        Sst2Error: An option value is such a path, and the ini file of the tests or of the current folder is another.
    """
    value = next(_separate_paths(config), None)
    if value is None or config.getoption("inifilename", None):
        return
    starts = _named_tests(config) or [config.invocation_params.dir]
    expected, found = _ini_file(starts), config.inipath
    if found == expected:
        return
    # pytest may accept a file that _ini_file does not, such as a pyproject.toml without a section for pytest.
    if expected is None and found is not None and any(found.parent in _upwards(start) for start in starts):
        return
    flag, text = value
    read = f"read the settings of {str(found)!r}" if found else "read no ini file"
    instead = f" instead of {str(expected)!r}" if expected else ""
    raise Sst2Error(
        f"pytest took {text!r} for a folder of tests and {read}{instead}. Write {flag}={shlex.quote(text)}."
    )


def _separate_paths(config: pytest.Config) -> Iterator[tuple[str, str]]:
    """Yield each option of this plugin with its value, if the value is a separate word and an existing path."""
    flags = {*BARE_FLAGS.values(), *(option.flag for option in OPTIONS)}
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    for flag, value in itertools.pairwise(words):
        # Path.exists would raise for a list of models that is longer than a file name may be.
        if flag in flags and os.path.exists(config.invocation_params.dir / value):  # noqa: PTH110
            yield flag, value


def _named_tests(config: pytest.Config) -> list[Path]:
    """Return the existing paths of the tests that were named on the command line."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return []
    folder = config.invocation_params.dir
    paths = [Path(os.path.abspath(folder / name.partition("::")[0])) for name in config.args]  # noqa: PTH100 - keeps links
    return [path for path in paths if os.path.exists(path)]  # noqa: PTH110


def _ini_file(starts: Sequence[Path]) -> Path | None:
    """Return pytest's ini file for these tests: upwards from their common folder, and else from each of them."""
    for start in (Path(os.path.commonpath(starts)), *starts):
        for folder in _upwards(start):
            for name, section in _INI_FILES:
                path = folder / name
                if path.is_file() and section in path.read_text(encoding="utf-8", errors="replace"):
                    return path
    return None


def _has_project_file(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _PROJECT_FILES)


def _upwards(path: Path) -> Iterator[Path]:
    yield path
    yield from path.parents
