"""Mutation testing: a small fault at every place of the modules that decide, and whether a test notices it.

    tox run -e mutation                          # all modules below
    tox run -e mutation -- comparison records    # some of them

mutmut makes the faults, forks a process for each and runs the tests that reach it. This adds what it leaves open:

- A module is judged by the tests that speak for it (``TESTS``), not by whatever happens to run through it.
- Properties and cached functions are mutated as well: mutmut passes over what is decorated, so that the copy it works
  on has plain functions.
- Only a test that failed is a kill. A mutant that ran out of time is neither killed nor survived, since an endless
  loop and a busy machine look the same: it is named, to be looked at. The limit is ten times what its tests took, and
  no less than 50 seconds.

Each mutant that was not killed is printed as a difference. The exit status is 1 where less than 85 % of a module's
mutants were killed. What stands outside of functions (constants, patterns, fields) is not mutated.
docs/reliability-tests.md has the figures and the survivors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import libcst as cst
import tomlkit
from mutmut.configuration import reset_config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "mutation"
REQUIRED_SHARE = 0.85

# Which tests speak for a module: the ends of the names of their files.
TESTS: dict[str, tuple[str, ...]] = {
    "comparison": ("comparison",),
    "records": ("records",),
    "record_json": ("records",),
    "baselines": ("baselines",),
    "sources": ("sources", "hub_source", "folders", "pocket", "bundled"),
    "folders": ("folders", "hub_source"),
    "pocket": ("pocket", "bundled"),
    "diagnosis": ("diagnosis",),
    "drift": ("drift", "comparison"),
}
SETTINGS = {
    "source_paths": ["pytest_sst2"],
    "also_copy": ["conftest.py", "tools"],
    "pytest_add_cli_args": ["-m", "not processes", "-p", "no:cacheprovider"],
    "timeout_constant": 5.0,
    "timeout_multiplier": 10.0,
    "use_git_change_detection": False,
}


class _Plain(cst.CSTTransformer):
    """Turns ``@property`` into a call after the function, and takes caches off functions."""

    def leave_FunctionDef(  # noqa: N802 - the name is libcst's
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        """Return the function without its decorator, followed by what stands for that."""
        decorators = [cst.Module([]).code_for_node(each.decorator) for each in updated_node.decorators]
        plain = updated_node.with_changes(decorators=[])
        if decorators == ["property"]:
            name = updated_node.name.value
            return cst.FlattenSentinel([plain, cst.parse_statement(f"{name} = property({name})")])
        if len(decorators) == 1 and decorators[0].startswith("functools.lru_cache"):
            return plain
        return updated_node


def prepare(module: str) -> Path:
    """Return a new folder with a copy of the project, in which mutmut is told to mutate this module alone."""
    folder = WORK / module
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("pytest_sst2", "tests", "tools"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", folder)
    file = folder / "pytest_sst2" / f"{module}.py"
    file.write_text(cst.parse_module(file.read_text(encoding="utf-8")).visit(_Plain()).code, encoding="utf-8")
    config = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config["tool"]["mutmut"] = {
        **SETTINGS,
        "only_mutate": [f"pytest_sst2/{module}.py"],
        "pytest_add_cli_args_test_selection": [f"tests/test_{name}.py" for name in TESTS[module]],
    }
    (folder / "pyproject.toml").write_text(tomlkit.dumps(config), encoding="utf-8")
    return folder


def run(folder: Path, processes: str) -> None:
    """Run mutmut to its end; where it cannot, print what it said."""
    # A checkout on the path would be tested in the place of the copy; threads do not survive a fork.
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", processes]
    log = folder / "mutmut.log"
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
    if done.returncode:
        sys.exit(f"mutmut could not be run; all it said is in {log}, of which the end:\n{log.read_text()[-3000:]}")


def outcomes(folder: Path, module: str) -> dict[str, list[str]]:
    """Return the mutants of each outcome: killed, survived, timeout, no tests."""
    text = (folder / "mutants" / "pytest_sst2" / f"{module}.py.meta").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for name, code in json.loads(text)["exit_code_by_key"].items():
        found.setdefault(status_by_exit_code[code], []).append(name)
    return found


def differences(folder: Path, names: Sequence[str]) -> Iterator[str]:
    """Give each mutant as a difference from the code."""
    with contextlib.chdir(folder):
        reset_config()
        yield from map(get_diff_for_mutant, names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it for the modules named; return 1 where a module's tests let too many mutants live."""
    parser = argparse.ArgumentParser(description="Mutation testing, module by module.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TESTS)}; all where none is named")
    parser.add_argument("--processes", default="2", help="how many mutants are tried at once (2)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.modules if name not in TESTS]:
        parser.error(f"no tests are named for {', '.join(unknown)}; there are some for {', '.join(TESTS)}")
    lines = []
    failed = False
    for module in options.modules or TESTS:
        folder = prepare(module)
        run(folder, options.processes)
        found = outcomes(folder, module)
        total = sum(map(len, found.values()))
        killed = len(found.pop("killed", []))
        failed |= killed < REQUIRED_SHARE * total
        for status, names in found.items():
            for name, difference in zip(names, differences(folder, names), strict=True):
                print(f"{status}: {name}\n{difference}")
        others = [f"{len(names)} {status}" for status, names in found.items()]
        lines.append(", ".join([f"{module}: {killed} of {total} mutants killed ({killed / total:.1%})", *others]))
    print("\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
