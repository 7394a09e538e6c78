"""The reading list of an upgrade: the definitions that changed and ran in a cell, the most likely place first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.instruments.function_trace import IMPORT
from pytest_sst2.upgrade.ab_run import AFTER, BEFORE, Sides
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.source_changes import ChangedDefinition, SourceChanges, source_changes
from pytest_sst2.upgrade.symptom import Symptom
from pytest_sst2.upgrade.traced_run import short_plan, trace_functions
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.formatting import plural, shorten

READING_LIST = "sst2-reading-list.json"
_MOST_SHOWN = 15
# Words in the names of files and functions that do a step of the chain.
_WORDS: Mapping[str, tuple[str, ...]] = {
    "tokens": ("token",),
    "weights": ("loading", "weight", "init", "modeling_utils"),
    "settings": ("trainer", "training_args", "linear_model"),
    "training": ("trainer", "loss", "optim", "linear_model"),
}


@dataclass(frozen=True)
class ReadingList:
    """The definitions that changed and ran.

    Attributes:
        cell: The cell that was traced.
        packages: The packages that differ.
        module: The module of the model in which the outputs first differ; empty if unknown.
        kind: Its class; empty if unknown.
        changes: All changes, those that ran in ``module`` first.
    """

    cell: str
    packages: tuple[str, ...]
    module: str
    kind: str
    changes: SourceChanges

    def lines(self, most: int = _MOST_SHOWN) -> list[str]:
        """Return the list in words, with at most ``most`` definitions."""
        total, ran = self.changes.total, self.changes.ran
        imports = sum(changed.inside <= {IMPORT} for changed in ran)
        lines = [
            f"{plural(total, 'definition')} changed in {shorten(self.packages, 4)}; {len(ran) - imports:,} of them ran "
            f"in {self.cell}, {imports:,} more only in imports{', those to read first:' if ran else ''}"
        ]
        for changed in ran[:most]:
            first = f", in {self.module}" if self.module and is_inside(changed, self.kind) else ""
            lines.append(f"  {changed.place} ({changed.lines}{first})")
        if len(ran) > most:
            lines.append(f"  … and {len(ran) - most:,} more")
        if self.changes.compiled:
            lines.append(f"compiled code changed: {shorten(self.changes.compiled, most)}")
        if self.changes.data:
            lines.append(f"data files changed that were read: {shorten(self.changes.data, most)}")
        if self.changes.unread:
            lines.append(f"not compared, because this Python cannot read them: {shorten(self.changes.unread, 4)}")
        return lines

    def write(self, folder: Path) -> None:
        """Write the whole list as JSON into a folder."""
        write_atomically(folder / READING_LIST, self.json())

    def json(self) -> str:
        """Return the whole list as JSON."""
        values = dataclasses.asdict(self)
        for fields, changed in zip(values["changes"]["ran"], self.changes.ran, strict=True):
            fields["place"] = changed.place
            fields["inside"] = sorted(changed.inside)
        return json.dumps(values, indent=1, ensure_ascii=False)


def reading_list(
    sides: Sides, plan: Plan, symptom: Symptom, comparison: Comparison, folder: Path, notify: Callable[[str], None]
) -> ReadingList:
    """Run the cell of a symptom once more in both environments, and return which changed definitions ran.

    Raises:
        BenchmarkRunError: A run left no trace.
        OSError: A file cannot be read or written.
    """
    cell = short_plan(plan, symptom.records)
    notify(f"{symptom.name}: which functions ran, and which of them changed")
    before, after = (trace_functions(getattr(sides, name), cell, folder / name, notify) for name in (BEFORE, AFTER))
    packages = tuple(change.name for change in sides.changes)
    module = first_module(symptom, comparison)
    # The input of a module comes from the module around it.
    kinds = [
        class_of(name, after.modules) or class_of(name, before.modules) for name in (module, module.rpartition(".")[0])
    ]
    ordered = by_likely_place(source_changes(before, after, packages), kinds, first_step(symptom, comparison))
    return ReadingList(symptom.name, packages, module, kinds[0], ordered)


def first_module(symptom: Symptom, comparison: Comparison) -> str:
    """Return the module that the causes of the symptom's cell name first; empty if they name none."""
    causes = _causes(symptom, comparison)
    return next((cause.where for cause in causes if cause.kind == "modules" and cause.where), "")


def first_step(symptom: Symptom, comparison: Comparison) -> str:
    """Return the step of the first cause of the symptom's cell; empty if there is none."""
    return next((cause.kind for cause in _causes(symptom, comparison) if not cause.is_note), "")


def _causes(symptom: Symptom, comparison: Comparison) -> list[Cause]:
    return [cause for cell in comparison.cells if (cell.model, cell.method) == symptom.cell for cause in cell.causes]


def class_of(module: str, modules: Mapping[str, str]) -> str:
    """Return the class of a module; empty if unknown. The names may begin at another part of the model."""
    if not module:
        return ""
    fitting = [name for name in modules if f".{name}".endswith(f".{module}") or f".{module}".endswith(f".{name}")]
    return modules[max(fitting, key=len)] if fitting else ""


def by_likely_place(changes: SourceChanges, kinds: Sequence[str], step: str = "") -> SourceChanges:
    """Return the changes in the order in which to read them.

    First what ran in modules of the named classes, then what is named after the step of the first cause, then what ran
    in other modules, then the rest, and last what only ran in imports. What ran in fewer kinds of modules comes first.
    """
    ran = sorted(changes.ran, key=lambda changed: (_rank(changed, kinds, step), len(changed.inside)))
    return dataclasses.replace(changes, ran=tuple(ran))


def is_inside(changed: ChangedDefinition, kind: str) -> bool:
    """Return whether a definition ran in modules of a class, or belongs to the class."""
    if not kind:
        return False
    place = changed.place
    return kind in changed.inside or place == kind or place.startswith(f"{kind}.")


def _rank(changed: ChangedDefinition, kinds: Sequence[str], step: str) -> tuple[int, int]:
    """Return the rank of a definition: its group, and its place in the group."""
    named = next((place for place, kind in enumerate(kinds) if is_inside(changed, kind)), None)
    if named is not None:
        return 0, named
    if changed.inside <= {IMPORT}:
        return 3, 0
    if any(word in changed.place.lower() for word in _WORDS.get(step, ())):
        return 1, 0
    return 2, 0 if any(":" in place for place in changed.inside) else 1
