"""Run cells once more in an environment, with few training rows, and note which functions of its packages ran."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_sst2.instruments.function_trace import FOLDER_VARIABLE
from pytest_sst2.results.record import Record
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan, run_pytest
from pytest_sst2.upgrade.environments import BuiltEnvironment

_PLUGIN = "pytest_sst2.instruments.function_trace"
# Enough for every step of a training to happen, and few enough to be done in seconds.
_MOST_TRAINING_ROWS = 512


@dataclass(frozen=True)
class RanFunction:
    """A function that ran: its qualified name and first line, and what it ran in.

    ``inside`` has the classes of the modules of a model, ``import`` for the import of a file, and an empty name for
    everything else.
    """

    name: str
    line: int
    inside: frozenset[str]


@dataclass(frozen=True)
class Trace:
    """What ran in one environment. All files are relative to ``site``, the folder of its packages.

    Attributes:
        functions: The functions that ran, by file.
        files: Every Python file that was imported.
        compiled: Every library that was loaded.
        opened: Every file that was opened.
        modules: The class of each module of a model, by the module's name.
        names: Names and attributes that functions refer to which ran outside of imports.
        bodies: Names that the bodies of a file's module and classes read while it was imported.
        classes: The classes that were used, by file and name, and what they were used in.
    """

    site: Path
    functions: Mapping[str, Sequence[RanFunction]]
    files: frozenset[str]
    compiled: frozenset[str]
    modules: Mapping[str, str]
    opened: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    bodies: Mapping[str, frozenset[str]] = field(default_factory=dict)
    classes: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)


def short_plan(plan: Plan, records: Sequence[Record]) -> Plan:
    """Return the plan for the cell of some records: its first seed, one epoch, and few training rows."""
    first = records[0]
    only = plan.only(records[:1])
    rows = min(first.dataset.train_size, _MOST_TRAINING_ROWS)
    others = [flag for flag in only.flags if flag.partition("=")[0] not in ("--sst2-train-size", "--sst2-epochs")]
    return replace(only, flags=(*others, f"--sst2-train-size={rows}", "--sst2-epochs=1"))


def trace_functions(
    environment: BuiltEnvironment, plan: Plan, folder: Path, notify: Callable[[str], None] = lambda _line: None
) -> Trace:
    """Run a plan and return which functions ran. Cells that fail are traced up to their error.

    Raises:
        BenchmarkRunError: The run left no trace.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for earlier in folder.glob("trace-*.json"):
        earlier.unlink()
    log = folder / "trace.log"
    flags = (*plan.flags, "-p", _PLUGIN)
    variables = {FOLDER_VARIABLE: str(folder.absolute())}
    status = run_pytest(environment, replace(plan, flags=flags), folder / "trace-results.part", log, notify, variables)
    notes = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("trace-*.json"))]
    if not notes:
        raise BenchmarkRunError(f"no function was traced (exit status {status}). The whole output is in {log}.")
    return merged_notes(notes)


def merged_notes(notes: Sequence[Mapping[str, Any]]) -> Trace:
    """Return the notes of several processes as one."""
    functions: dict[str, list[RanFunction]] = {}
    for one in notes:
        for file, name, line, inside in one["functions"]:
            functions.setdefault(file, []).append(RanFunction(name, line, frozenset(inside)))
    bodies: dict[str, set[str]] = {}
    classes: dict[tuple[str, str], set[str]] = {}
    for note in notes:
        for file, read in note["bodies"].items():
            bodies.setdefault(file, set()).update(read)
        for file, name, inside in note["classes"]:
            classes.setdefault((file, name), set()).update(inside)
    return Trace(
        site=Path(notes[0]["site"]),
        functions=functions,
        files=frozenset(file for one in notes for file in one["files"]),
        compiled=frozenset(file for one in notes for file in one["compiled"]),
        modules={name: kind for one in notes for name, kind in one["modules"].items()},
        opened=frozenset(file for one in notes for file in one["opened"]),
        names=frozenset(name for one in notes for name in one["names"]),
        bodies={file: frozenset(read) for file, read in bodies.items()},
        classes={key: frozenset(inside) for key, inside in classes.items()},
    )
