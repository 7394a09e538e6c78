"""Resume: take the records of an unfinished run from its file if they were measured in the same conditions."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.results.environment_diff import environment_changes, software_changes
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import UNREADABLE_CODE, Environment, Record, Weights
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, shorten
from pytest_sst2.utils.safe_read import read_text

if TYPE_CHECKING:
    from pytest_sst2.config.recipes import ComputationPath, Recipe


def load_unfinished(path: Path) -> Results:
    """Return the results of an earlier run; empty if the file does not exist yet.

    Raises:
        Sst2Error: The file cannot be read, or is not a results file.
    """
    if not path.exists():
        return Results((), (), origin=path.name)
    try:
        return dataclasses.replace(results_from_text(read_text(path), str(path)), origin=path.name)
    except Sst2Error as error:
        raise Sst2Error(f"--sst2-resume: {error} Name another file, or one that does not exist yet.") from error


def resume_notes(unfinished: Results, resumed: Mapping[str, str], total: int) -> list[str]:
    """Return lines that count the cells taken from the resumed file; none if the file was empty.

    ``resumed`` maps the id of a cell to the reason why it was measured again, or to an empty text if it was not.
    """
    if not unfinished.finished and not unfinished.planned:
        return []
    reasons = Counter(resumed.values())
    taken = reasons.pop("", 0)
    return [
        f"{taken} of {plural(total, 'cell')} taken from {unfinished.origin}",
        *(f"{count} of its cells measured again: {reason}" for reason, count in reasons.most_common()),
    ]


@dataclasses.dataclass(frozen=True)
class Conditions:
    """The conditions of a cell in this run that are known before its model is loaded."""

    recipe: Recipe
    digest: str  # of its rows
    weights: Weights | None
    environment: Environment  # of the process that would measure it
    code: str = ""  # a digest of its method's module; empty for a built-in method
    metrics: Sequence[str] = ()  # in addition to accuracy
    rounds: int = 1
    timed: bool = False  # whether no phase may be cached
    exclusive: bool = False  # whether cells must be timed without other workers
    anywhere: bool = False  # whether the cell may run on another machine than this one
    path: ComputationPath = "fast"  # of --sst2-path

    def differ_from(self, record: Record) -> str:
        """Return the first condition that differs from a record's, as a clause; empty if the record can be taken."""
        if dataclasses.replace(record.recipe, seeds=()) != dataclasses.replace(self.recipe, seeds=()):
            return f"recipe {self.recipe.label}, was {record.recipe_label}"
        if record.path != self.path:
            return f"path {self.path}, was {record.path}"
        if record.dataset.digest != self.digest:
            return "other rows"
        if getattr(record.weights, "sha256", None) != getattr(self.weights, "sha256", None):
            return "other weights"
        # Commits, or digests of a folder's small files; an empty one is unknown.
        if len({weights.revision for weights in (record.weights, self.weights) if weights and weights.revision}) > 1:
            return "another config or tokenizer next to the weights"
        if record.settings.get("code", "") != self.code or self.code == UNREADABLE_CODE:
            return "other code of its method"
        if missing := [name for name in self.metrics if name not in record.metrics]:
            return f"no {', '.join(missing)}"
        if len(record.rounds) < self.rounds:
            return f"{len(record.rounds)} of {self.rounds} rounds"
        if self.timed and any(phase.cached for measured in record.rounds for phase in measured.phases):
            return "times from a cache"
        if self.exclusive and record.placement.concurrent_workers:
            return "timed next to other workers"
        if record.placement.processes != 1:
            return f"1 process, was {record.placement.processes}"
        changes = (software_changes if self.anywhere else environment_changes)(record.environment, self.environment)
        clauses = [f"{change.name} {change.after or 'none'}, was {change.before or 'none'}" for change in changes]
        return shorten(clauses, 2)
