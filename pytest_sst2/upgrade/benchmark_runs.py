"""Run the benchmarks in an environment, as a user would, and merge the results of several passes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TextIO

from pytest_sst2.compare.pairing import CellKey
from pytest_sst2.config.specs import cell_name
from pytest_sst2.report.write import STEP_SUMMARY
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.session.progress_display import LOG_PREFIX
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import printable

# Settings of an ini file that would make a run compare, save or report by itself.
_INI_OVERRIDES = ("sst2_compare=", "sst2_save=", "sst2_report=", "sst2_calibrate_floors=false", "sst2_calibrate=false")
_CELL_FLAGS = ("--sst2-models", "--sst2-methods", "--sst2-seeds")


class BenchmarkRunError(Sst2Error):
    """The benchmarks do not run in an environment; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What pytest runs in every environment: its targets, its options as typed, and the working folder.

    ``is_of_commits`` is whether the benchmarks in the working folder are those of the commits.
    """

    targets: tuple[str, ...]
    flags: tuple[str, ...]
    folder: Path
    is_of_commits: bool = False

    def files(self) -> list[Path]:
        """Return the benchmarks and the settings files that decide what is run, without those of commits."""
        targets = [self.folder / target.partition("::")[0] for target in self.targets]
        names: tuple[str, ...] = ("conftest.py", "pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
        if self.is_of_commits:
            targets, names = [target for target in targets if not target.is_relative_to(self.folder)], ()
        code = [path for target in targets for path in ([target] if target.is_file() else target.rglob("*.py"))]
        return sorted(path for path in {*code, *(self.folder / name for name in names)} if path.is_file())

    @property
    def has_auto_seeds(self) -> bool:
        """Whether ``--sst2-seeds auto`` was typed."""
        return self._value("--sst2-seeds") == "auto"

    def only(self, records: Sequence[Record]) -> Plan:
        """Return the plan for the model, method and seeds of the records of one cell."""
        first = records[0]
        (plan,) = self.for_cells([(first.model, first.method)], [record.seed for record in records])
        return plan

    def with_seeds(self, seeds: Iterable[int]) -> Plan:
        """Return the plan for all cells with the given seeds."""
        others = tuple(flag for flag in self.flags if flag.partition("=")[0] != "--sst2-seeds")
        return replace(self, flags=(*others, f"--sst2-seeds={','.join(map(str, seeds))}"))

    def for_cells(self, cells: Iterable[CellKey], seeds: Iterable[int]) -> list[Plan]:
        """Return plans for some cells, with the given seeds: one for all methods that have the same models.

        Without ``--sst2-models``, the default or an ini file names the models, and all of them are measured.
        """
        typed = self._value("--sst2-models")
        models: dict[str, list[str]] = {}
        for model, method in cells:
            models.setdefault(method, [])
            models[method] += [_as_typed(model, typed)] if model and typed else []
        methods: dict[tuple[str, ...], list[str]] = {}
        for method, names in models.items():
            methods.setdefault(tuple(names), []).append(method)
        others = tuple(flag for flag in self.flags if flag.partition("=")[0] not in _CELL_FLAGS)
        plans = []
        for typed_models, of_models in methods.items():
            chosen = [f"--sst2-models={','.join(typed_models)}"] if typed_models else []
            flags = (*others, *chosen, f"--sst2-methods={','.join(of_models)}")
            plans.append(replace(self, flags=flags).with_seeds(seeds))
        return plans

    def _value(self, option: str) -> str:
        return next((flag.partition("=")[2] for flag in self.flags if flag.startswith(f"{option}=")), "")


def _as_typed(model: str, typed: str) -> str:
    """Return a model as it was typed, because a record names a folder by its last part only."""
    names = typed.split(",")
    return next((name for name in names if Path(name).name == Path(model).name), model) if model not in names else model


def run_benchmarks(
    environment: BuiltEnvironment,
    plan: Plan,
    file: Path,
    notify: Callable[[str], None] = lambda _line: None,
    more_variables: Mapping[str, str] | None = None,
) -> Results:
    """Run the benchmarks once in an environment, write their results to ``file``, and return them.

    The output of pytest is written next to it, with the suffix ``.log``. ``notify`` gets its progress, a line every 30
    seconds. If the file exists, nothing is run.

    Raises:
        BenchmarkRunError: The run has no results.
    """
    log = file.with_suffix(".log")
    if not file.is_file():
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        status = run_pytest(environment, plan, part, log, notify, more_variables)
        # 0: passed, 1: a cell failed. After any other status the results are incomplete.
        if status not in (0, 1) or not part.is_file():
            raise BenchmarkRunError(f"{_reason(log, status)} The whole output is in {log}.")
        part.replace(file)
    results = results_from_text(file.read_text(encoding="utf-8"), str(file))
    if not results.records and not results.failures:
        targets = " ".join(plan.targets)
        raise BenchmarkRunError(f"no benchmark was run: {targets} has none for these options. See {log}.")
    return results


def run_pytest(
    environment: BuiltEnvironment,
    plan: Plan,
    file: Path,
    log: Path,
    notify: Callable[[str], None],
    more_variables: Mapping[str, str] | None = None,
) -> int:
    """Run pytest once in an environment with the plan's options; return its exit status.

    Raises:
        BenchmarkRunError: It cannot be started, or its output cannot be written.
    """
    command = [str(environment.python), "-P", "-m", "pytest", *plan.targets, *plan.flags, f"--sst2-json={file}"]
    # Floors are judged elsewhere, and cached embeddings would hide the time and memory of this environment.
    command += ["--sst2-min-accuracy=0", "--sst2-no-cache", "-p", "no:cacheprovider"]
    for setting in _INI_OVERRIDES:
        command += ["-o", setting]
    variables = environment.variables()
    variables.pop(STEP_SUMMARY, None)  # each run would add its own
    variables |= more_variables or {}
    try:
        with log.open("w", encoding="utf-8") as output:
            return run_logged(command, environment.working_folder(plan.folder), variables, output, notify)
    except OSError as error:
        raise BenchmarkRunError(f"{error.filename or command[0]}: {error.strerror or error}.") from error


def run_logged(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    log: TextIO,
    notify: Callable[[str], None] = lambda _line: None,
) -> int:
    """Run a command, write its output without secrets to ``log``, and return its exit status.

    ``notify`` gets the lines with the progress of a run.
    """
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
        assert process.stdout is not None  # noqa: S101 - stdout is a pipe
        try:
            for line in process.stdout:
                log.write(printable(line))
                log.flush()
                if line.startswith(LOG_PREFIX):
                    notify(printable(line.removeprefix(LOG_PREFIX).rstrip()))
        except BaseException:
            process.kill()
            raise
    return process.returncode


def _reason(log: Path, status: int) -> str:
    """Return one sentence with the last error in the output of a run, or its last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "ImportError", "ModuleNotFoundError"))]
    named = [line for line in lines if ("Error: " in line or "Exception: " in line) and not line.startswith("File ")]
    last = (named or errors or lines or ["no output"])[-1].removeprefix("E  ").removeprefix("ERROR: ").strip()
    if status < 0:
        last = f"ended by signal {-status}; {last}"
    sentence = f"{last[:400].rstrip('.')} (exit status {status})."
    if status == 4:
        sentence += " Plugins that the project's pytest settings need must be in both environments: add --with PLUGIN."
    return sentence


def merge_passes(passes: Sequence[Results], origin: str) -> Results:
    """Return several passes over the same cells as one: the answers of the first, the rounds of all.

    If the answers of two passes differ, the record gets a warning, because environments may differ for the same reason.
    A cell that failed in any pass has no record.
    """
    failures: dict[str, Failure] = {failure.cell: failure for results in passes for failure in results.failures}
    by_pass = [{record.cell: record for record in results.records} for results in passes]
    records = []
    for cell, first in by_pass[0].items():
        others = [by_cell[cell] for by_cell in by_pass[1:] if cell in by_cell]
        if cell not in failures and len(others) == len(passes) - 1:
            records.append(_merge_records(first, others))
    return Results(records, list(failures.values()), "", origin)


def _merge_records(first: Record, others: Sequence[Record]) -> Record:
    rounds = tuple(one_round for record in (first, *others) for one_round in record.rounds)
    differing = max(
        (sum(a != b for a, b in zip(first.predictions, other.predictions, strict=True)) for other in others), default=0
    )
    warning = f"two runs in one environment differ in {differing} of {first.total} answers: this cell is not repeatable"
    return replace(first, rounds=rounds, warnings=(*first.warnings, *([warning] if differing else [])))


def failure_summary(results: Results) -> str:
    """Return which cells failed and why, each reason once; empty if none failed."""
    cells_by_error: dict[str, list[str]] = {}
    for failure in results.failures:
        cells_by_error.setdefault(failure.error, []).append(cell_name((failure.model, failure.method)))
    return "; ".join(f"{', '.join(dict.fromkeys(cells))}: {error}" for error, cells in cells_by_error.items())
