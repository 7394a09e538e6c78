"""Mutation testing: put a small fault at every place of the modules that decide, and check that a test fails.

    tox run -e mutation                                           # all modules below
    tox run -e mutation -- compare/comparison results/baselines   # some of them

mutmut makes the faults and runs the tests that reach each. Only the tests of a module itself count (``TESTS``), and
properties and cached functions are mutated too. A mutant that times out is neither killed nor survived. The exit status
is 1 if fewer than 85 % of the mutants of a module were killed.
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

# The tests that judge a module, below tests/.
TESTS: dict[str, tuple[str, ...]] = {
    "compare/cell_comparison": ("compare/test_comparison.py",),
    "compare/cell_verdicts": ("compare/test_comparison.py",),
    "compare/comparison": ("compare/test_comparison.py",),
    "compare/drift/causes": ("compare/drift", "compare/test_comparison.py", "end_to_end/test_injected_faults.py"),
    "data/folders": ("data",),
    "data/pocket": ("data/test_pocket.py", "models/test_bundled.py"),
    "data/sources": ("data", "models/test_bundled.py"),
    "results/baselines": ("results/test_baselines.py",),
    "results/record": ("results/test_record.py",),
    "results/validation": ("results/test_validation.py", "results/test_record.py"),
    "runner/result_warnings": ("runner/test_result_warnings.py",),
}
SETTINGS = {
    "source_paths": ["pytest_sst2"],
    "also_copy": ["conftest.py", "tools", "docs", "benchmarks"],
    "pytest_add_cli_args": ["-m", "not processes", "-p", "no:cacheprovider"],
    "timeout_constant": 5.0,
    "timeout_multiplier": 10.0,
    "use_git_change_detection": False,
}


class _Plain(cst.CSTTransformer):
    """Turns ``@property`` into a call after the function, and removes caches from functions."""

    def leave_FunctionDef(  # noqa: N802 - the name is libcst's
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef | cst.FlattenSentinel[cst.BaseStatement]:
        """Return the function without its decorator, followed by the call that replaces it."""
        decorators = [cst.Module([]).code_for_node(decorator.decorator) for decorator in updated_node.decorators]
        plain = updated_node.with_changes(decorators=[])
        if decorators == ["property"]:
            name = updated_node.name.value
            return cst.FlattenSentinel([plain, cst.parse_statement(f"{name} = property({name})")])
        if len(decorators) == 1 and decorators[0].startswith("functools.lru_cache"):
            return plain
        return updated_node


def prepare(module: str) -> Path:
    """Return a new folder with a copy of the project that configures mutmut for one module."""
    folder = WORK / module.replace("/", "-")
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("pytest_sst2", "tests", "tools", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "conftest.py", folder)
    file = folder / "pytest_sst2" / f"{module}.py"
    file.write_text(cst.parse_module(file.read_text(encoding="utf-8")).visit(_Plain()).code, encoding="utf-8")
    config = tomlkit.parse((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    config["tool"]["mutmut"] = {
        **SETTINGS,
        "only_mutate": [f"pytest_sst2/{module}.py"],
        "pytest_add_cli_args_test_selection": [f"tests/{name}" for name in TESTS[module]],
    }
    (folder / "pyproject.toml").write_text(tomlkit.dumps(config), encoding="utf-8")
    return folder


def run(folder: Path, processes: str) -> None:
    """Run mutmut; if it fails, exit with the end of its log."""
    # Without a checkout on the path, which would be tested instead of the copy. Threads do not survive a fork.
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mutmut", "run", "--max-children", processes]
    log = folder / "mutmut.log"
    with log.open("wb") as file:
        done = subprocess.run(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
    if done.returncode:
        sys.exit(f"mutmut failed; its log is {log} and ends with:\n{log.read_text()[-3000:]}")


def outcomes(folder: Path, module: str) -> dict[str, list[str]]:
    """Return the mutants by outcome: killed, survived, timeout, no tests."""
    text = (folder / "mutants" / "pytest_sst2" / f"{module}.py.meta").read_text(encoding="utf-8")
    by_outcome: dict[str, list[str]] = {}
    for name, code in json.loads(text)["exit_code_by_key"].items():
        by_outcome.setdefault(status_by_exit_code[code], []).append(name)
    return by_outcome


def differences(folder: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield each mutant as a difference from the code."""
    with contextlib.chdir(folder):
        reset_config()
        yield from map(get_diff_for_mutant, names)


def main(arguments: Sequence[str] | None = None) -> int:
    """Test the modules named; return 1 if too many mutants of a module survive."""
    parser = argparse.ArgumentParser(description="Mutation testing, module by module.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"one of {', '.join(TESTS)} (default: all)")
    parser.add_argument("--processes", default="2", help="mutants tried at once (2)")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.modules if name not in TESTS]:
        parser.error(f"unknown modules {', '.join(unknown)}; known are {', '.join(TESTS)}")
    lines = []
    failed = False
    for module in options.modules or TESTS:
        folder = prepare(module)
        run(folder, options.processes)
        mutants = outcomes(folder, module)
        total = sum(map(len, mutants.values()))
        killed = len(mutants.pop("killed", []))
        failed |= killed < REQUIRED_SHARE * total
        for status, names in mutants.items():
            for name, difference in zip(names, differences(folder, names), strict=True):
                print(f"{status}: {name}\n{difference}")
        others = [f"{len(names)} {status}" for status, names in mutants.items()]
        lines.append(", ".join([f"{module}: {killed} of {total} mutants killed ({killed / total:.1%})", *others]))
    print("\n".join(lines))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
