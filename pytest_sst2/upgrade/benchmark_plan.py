"""Choose which benchmarks run in both environments, with which options."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest_sst2
from pytest_sst2.config.options import DATA_SOURCES
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.installed_here import InstalledHere
from pytest_sst2.upgrade.repository import Repository
from pytest_sst2.utils.errors import Sst2Error

_BENCHMARKS = "benchmarks"
_BUNDLED_BENCHMARKS = ("--pyargs", "pytest_sst2.benchmarks")
# Options whose values may be folders.
_DATA, _MODELS = "--sst2-data", "--sst2-models"


def benchmark_plan(options: argparse.Namespace) -> Plan:
    """Return the benchmarks of the working folder.

    Raises:
        Sst2Error: They do not exist.
    """
    here = Path.cwd()
    if options.benchmarks and not Path(_file_of(options.benchmarks)).exists():
        raise Sst2Error(f"--benchmarks {options.benchmarks!r} does not exist. Name a folder or a file of benchmarks.")
    return Plan(_targets(options, here), tuple(options.flags), here)


def plan_of_commits(options: argparse.Namespace, repository: Repository, later: BuiltEnvironment) -> Plan:
    """Return the benchmarks of the commits, for an environment with the later one.

    Benchmarks, data and models are those of each commit if the later one has them. Others are those of the working
    folder, or of where an absolute path leads.

    Raises:
        Sst2Error: The benchmarks are in neither.
    """
    here, commit = Path.cwd(), later.checkout
    assert commit is not None  # noqa: S101 - commits are compared

    def placed(value: str) -> str:
        path = (here / value).resolve()
        inside = path.is_relative_to(repository.top)
        relative = path.relative_to(repository.top) if inside else path
        if inside and (commit.top / relative).exists():
            # "./minilm" is a folder, "minilm" may be the name of a model.
            return f"./{os.path.relpath(commit.top / relative, commit.folder)}" if Path(value).is_absolute() else value
        return str(path) if path.exists() else value

    targets = _targets(options, commit.folder)
    if targets == _BUNDLED_BENCHMARKS and isinstance(later, InstalledHere):
        targets = _bundled_here()
    if options.benchmarks:
        file, separator, test = options.benchmarks.partition("::")
        targets = (placed(file) + separator + test,)
        if not (commit.folder / placed(file)).exists():
            raise Sst2Error(
                f"--benchmarks {options.benchmarks!r} does not exist, neither in the later commit nor in the working "
                "folder. Name a folder or a file of benchmarks."
            )
    return Plan(targets, tuple(_with_paths(flag, placed) for flag in options.flags), here, is_of_commits=True)


def _targets(options: argparse.Namespace, folder: Path) -> tuple[str, ...]:
    """Return what pytest collects: what was typed, or the folder ``benchmarks``, or else the bundled benchmarks."""
    if options.benchmarks:
        return (options.benchmarks,)
    return (_BENCHMARKS,) if (folder / _BENCHMARKS).is_dir() else _BUNDLED_BENCHMARKS


def _bundled_here() -> tuple[str, ...]:
    """Return the bundled benchmarks for the environment of this process."""
    package = Path(pytest_sst2.__file__).parent
    # A checkout has the benchmarks next to the package; a wheel has them inside.
    in_checkout = not (package / "benchmarks").is_dir()
    return (str(package.parent / "benchmarks"),) if in_checkout else _BUNDLED_BENCHMARKS


def _file_of(target: str) -> str:
    return target.partition("::")[0]


def _with_paths(flag: str, placed: Callable[[str], str]) -> str:
    """Return an option with the paths in its value placed; names of models and sources are no paths."""
    option, separator, value = flag.partition("=")
    if option == _DATA and value not in DATA_SOURCES:
        return f"{option}{separator}{placed(value)}"
    if option == _MODELS:
        models = [placed(model) if "/" in model else model for model in value.split(",")]
        return f"{option}{separator}{','.join(models)}"
    return flag


def check_collection(plan: Plan) -> None:
    """Collect the benchmarks in this environment, so that a misspelt name costs seconds.

    Raises:
        Sst2Error: pytest does not collect them.
    """
    targets = _bundled_here() if plan.targets == _BUNDLED_BENCHMARKS else plan.targets
    command = [sys.executable, "-P", "-m", "pytest", *targets, *plan.flags, "--collect-only", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=plan.folder, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    reason = (errors or lines[-1:] or ["no reason given"])[0]
    raise Sst2Error(f"pytest does not collect the benchmarks with these options: {reason}")
