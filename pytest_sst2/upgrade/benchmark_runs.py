"""Trials: the benchmarks run in an environment, as a user would run them there, and what came of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from pytest_sst2.compare.pairing import cell_name
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

# What an ini file may ask of a run that is none of a trial's business.
_NOT_OF_A_TRIAL = ("sst2_compare=", "sst2_save=", "sst2_report=", "sst2_calibrate_floors=false", "sst2_calibrate=false")
# The same of the variables: other packages, a summary that is ours to write, options of the outer run.
_NOT_FOR_A_TRIAL = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "GITHUB_STEP_SUMMARY",
    "PYTEST_ADDOPTS",
    "PYTEST_PLUGINS",
    "PYTEST_CURRENT_TEST",
)


class TrialError(Sst2Error):
    """An environment in which the benchmarks do not run at all; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What is run in every environment.

    Attributes:
        targets: What pytest collects: a folder of benchmarks, or ``--pyargs`` and a package.
        flags: Options of pytest and of this plugin, as typed.
        folder: The working folder.
    """

    targets: tuple[str, ...]
    flags: tuple[str, ...]
    folder: Path

    def files(self) -> list[Path]:
        """Return the files that decide what is run: the benchmarks', and what pytest reads in the working folder."""
        named = [self.folder / target.partition("::")[0] for target in self.targets]
        read = [self.folder / name for name in ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")]
        code = [path for each in named for path in ([each] if each.is_file() else each.rglob("*.py"))]
        return sorted(path for path in {*read, *code} if path.is_file())

    def only(self, records: Sequence[Record]) -> Plan:
        """Return the plan for the records of one cell: its model, method and seeds, and otherwise the same."""
        typed = next((flag.partition("=")[2] for flag in self.flags if flag.startswith("--sst2-models=")), "")
        kept = tuple(flag for flag in self.flags if flag.partition("=")[0] not in _CELL_FLAGS)
        first = records[0]
        # Where none was typed, an ini file or the default names them, and the cell is among these.
        models = [f"--sst2-models={_as_typed(first.model, typed)}"] if first.model and typed else []
        seeds = ",".join(str(record.seed) for record in records)
        return replace(self, flags=(*kept, *models, f"--sst2-methods={first.method}", f"--sst2-seeds={seeds}"))


_CELL_FLAGS = ("--sst2-models", "--sst2-methods", "--sst2-seeds")


def _as_typed(model: str, typed: str) -> str:
    """Return what was typed for a model: a folder goes by its last part once it is found."""
    names = typed.split(",")
    return next((each for each in names if Path(each).name == Path(model).name), model) if model not in names else model


def run_trial(environment: BuiltEnvironment, plan: Plan, file: Path) -> Results:
    """Run the benchmarks once in an environment, and return what they wrote to ``file``.

    What pytest says goes to a file of the same name that ends in ``.log``. A result that is there from an earlier run
    is not measured again.

    Raises:
        TrialError: No result came of it.
    """
    log = file.with_suffix(".log")
    if not file.is_file():
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        status = _run(environment, plan, part, log)
        # 0: all is well, 1: a cell failed; what was interrupted, or could not begin, is no result.
        if status not in (0, 1) or not part.is_file():
            raise TrialError(f"{_reason(log, status)} All that it said is in {log}.")
        part.replace(file)
    found = results_from_text(file.read_text(encoding="utf-8"), str(file))
    if not found.records and not found.failures:
        raise TrialError(f"no benchmark was run: {' '.join(plan.targets)} has none for these options. See {log}.")
    return found


def _run(environment: BuiltEnvironment, plan: Plan, file: Path, log: Path) -> int:
    command = [str(environment.python), "-P", "-m", "pytest", *plan.targets, *plan.flags, f"--sst2-json={file}"]
    # Floors are not what is asked; cached embeddings would be those of another environment's time.
    command += ["--sst2-min-accuracy=0", "--sst2-no-cache", "-p", "no:cacheprovider"]
    for setting in _NOT_OF_A_TRIAL:
        command += ["-o", setting]
    variables = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_A_TRIAL}
    try:
        with log.open("w", encoding="utf-8") as output:
            return _logged(command, plan.folder, variables, output)
    except OSError as error:
        raise TrialError(f"{error.filename or command[0]}: {error.strerror or error}.") from error


def _logged(command: Sequence[str], folder: Path, variables: Mapping[str, str], log: TextIO) -> int:
    """Run a command to its end and return its exit status; what it says is written down, without secrets."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=variables,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        try:
            for line in process.stdout:
                log.write(printable(line))
                log.flush()
        except BaseException:
            process.kill()
            raise
    return process.returncode


def _reason(log: Path, status: int) -> str:
    """Return in one sentence why a run wrote nothing: the last error it names, else its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "ImportError", "ModuleNotFoundError"))]
    named = [line for line in lines if ("Error: " in line or "Exception: " in line) and not line.startswith("File ")]
    said = (named or errors or lines or ["it said nothing"])[-1].removeprefix("E  ").removeprefix("ERROR: ").strip()
    if status < 0:
        said = f"it was ended by signal {-status}; {said}"
    hint = (
        " What the project's own settings ask of pytest must be in both environments: --with PLUGIN."
        if status == 4
        else ""
    )
    return f"{said[:400].rstrip('.')} (exit status {status}).{hint}"


def merged(passes: Sequence[Results], origin: str) -> Results:
    """Return several runs of the same cells as one: the answers of the first, the rounds of all.

    Where two passes in one environment give other answers to a cell its record warns of it: what differs between
    environments may be no more than that. A cell that failed in any pass has no number.
    """
    failures: dict[str, Failure] = {failure.cell: failure for each in passes for failure in each.failures}
    by_pass = [{record.cell: record for record in each.records} for each in passes]
    records = []
    for cell, first in by_pass[0].items():
        others = [each[cell] for each in by_pass[1:] if cell in each]
        if cell not in failures and len(others) == len(passes) - 1:
            records.append(_one_record(first, others))
    return Results(records, list(failures.values()), "", origin)


def _one_record(first: Record, others: Sequence[Record]) -> Record:
    rounds = tuple(each for record in (first, *others) for each in record.rounds)
    differing = max(
        (sum(a != b for a, b in zip(first.predictions, other.predictions, strict=True)) for other in others), default=0
    )
    warning = f"two runs in one environment differ in {differing} of {first.total} answers: this cell is not repeatable"
    return replace(first, rounds=rounds, warnings=(*first.warnings, *([warning] if differing else [])))


def without_numbers(results: Results) -> str:
    """Return what kept cells from having a number, each reason once, or an empty text."""
    reasons: dict[str, list[str]] = {}
    for failure in results.failures:
        reasons.setdefault(failure.error, []).append(cell_name((failure.model, failure.method)))
    return "; ".join(f"{', '.join(dict.fromkeys(cells))}: {reason}" for reason, cells in reasons.items())
