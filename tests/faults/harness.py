"""Define faults, run a cell with a fault, and read the comparison."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import Comparison, compare
from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.declared import NOTHING_DECLARED
from pytest_sst2.config.recipes import ComputationPath, Recipe
from pytest_sst2.config.settings import Settings
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
from pytest_sst2.instruments import environment
from pytest_sst2.report.comparison_text import findings
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.session.cell_run import failure_of

METHOD: dict[str, MethodSpec] = {spec.name: spec for spec in METHODS if spec.trains}
LINEAR, TORCH, TUNE, WORDS, MAJORITY = "linear-probe", "torch-probe", "fine-tune", "tfidf", "majority"
PROBES = (LINEAR, TORCH)
ENCODERS = (LINEAR, TUNE)


@dataclass(frozen=True)
class World:
    """The inputs of a cell.

    Attributes:
        model: A folder with an encoder in sentence-transformers layout.
        data: ``pocket`` or a folder.
        recipe: The recipe; the cell has its first seed.
        scratch: The folder for changed models.
        rounds: Repetitions of the cell.
        path: ``fast`` or ``stock``.
    """

    model: Path
    data: str
    recipe: Recipe
    scratch: Path
    rounds: int = 1
    path: ComputationPath = "fast"

    def with_recipe(self, **changes: Any) -> World:
        """Return the world with another recipe."""
        return dataclasses.replace(self, recipe=dataclasses.replace(self.recipe, **changes))


Inject = Callable[[pytest.MonkeyPatch, World], World | None]


@dataclass(frozen=True)
class Fault:
    """One regression.

    Attributes:
        name: Its description.
        methods: The methods it is injected into.
        outcome: The expected result: ``regressed``, ``incomparable``, ``slower``, ``more-memory``, or ``named`` if
            the cause must be reported whatever the accuracy.
        cause: A regular expression that one finding must match.
        inject: Patches the code; returns the world to run in if it differs.
        ground: Changes the world of both runs, such as to an encoder that normalises.
        rounds: Repetitions of each run, for faults of time.
        replays: The row of the table of real upgrades that this fault replays, if any.
    """

    name: str
    methods: tuple[str, ...]
    outcome: str
    cause: str
    inject: Inject
    ground: Callable[[World], World]
    rounds: int
    replays: str

    def before(self, world: World) -> World:
        """Return the world before the fault."""
        return dataclasses.replace(self.ground(world), rounds=self.rounds)

    @contextlib.contextmanager
    def injected(self, world: World) -> Iterator[World]:
        """Inject the fault into the world of ``before`` during the body."""
        with pytest.MonkeyPatch.context() as patch:
            yield self.inject(patch, world) or world


FAULTS: list[Fault] = []


def _as_it_is(world: World) -> World:
    return world


# Unchanged cells that must have no flag at all.
NOTHING = Fault("nothing: the same run again", tuple(METHOD), "identical", "(?!)", lambda *_: None, _as_it_is, 1, "")


def fault(
    name: str,
    methods: Sequence[str],
    outcome: str,
    cause: str,
    *,
    ground: Callable[[World], World] = _as_it_is,
    rounds: int = 1,
    replays: str = "",
) -> Callable[[Inject], Inject]:
    """Add the decorated function to ``FAULTS``; the arguments are the attributes of ``Fault``."""

    def add(inject: Inject) -> Inject:
        FAULTS.append(Fault(name, tuple(methods), outcome, cause, inject, ground, rounds, replays))
        return inject

    return add


def measure(world: World, method: str) -> Results:
    """Run one cell as the plugin does; an error becomes the Failure that the plugin would report."""
    from pytest_sst2.runner.context import RunContext
    from pytest_sst2.utils.errors import Sst2Error

    environment._environment_at_start.cache_clear()  # an upgrade happens before the process starts
    model = ModelSpec("encoder", folder=world.model) if METHOD[method].needs_model else None
    cell = Cell(model, METHOD[method], world.recipe.seeds[0])
    try:
        context = RunContext(_settings(world))
        runner = context.runner(cell)
        runner.run_rounds(world.rounds)
        record = runner.record(context.floor_for)
    except Exception as error:
        reason = str(error) if isinstance(error, Sst2Error) else f"{type(error).__name__}: {error}"
        return Results([], [failure_of(cell, reason)], origin="this run")
    # Through the packed file of a baseline.
    return results_from_text(results_text(Results([record]), packed=True), "this run")


def _settings(world: World) -> Settings:
    return Settings(
        models=(),
        models_base=world.scratch,
        methods=(),
        data=world.data,
        recipe=world.recipe,
        device="cpu",
        rounds=world.rounds,
        cache_bytes=None,  # otherwise the next test would read the embeddings of this fault
        metrics=(),
        rootdir=world.scratch,
        floors_path=world.scratch / "no-floors.toml",
        floors_given=False,
        min_accuracy=None,
        calibrate_floors=False,
        save=None,
        compare=None,
        compare_base=world.scratch,
        fail_on=(),
        changed=NOTHING_DECLARED,
        tolerance=0.005,
        alpha=0.01,
        drop_cells=(),
        overwrite=False,
        trust_remote_code=False,
        json_path=None,
        prints_json=False,
        report_path=None,
        resume_path=None,
        executor="local",
        ray_address=None,
        ray_cpus=1,
        exclusive=False,
        shard=None,
        talkative=False,
        ci=False,
        anyway=False,
        path=world.path,
    )


def compared(before: Results, after: Results) -> Comparison:
    """Compare two runs of one cell by the rule of the gate."""
    return compare(before, after, tolerance=0.005, alpha=0.01)


def cell_of(comparison: Comparison) -> CellComparison:
    """Return the only cell."""
    (cell,) = comparison.cells
    return cell


def sentences_of(comparison: Comparison) -> list[str]:
    """Return the report's findings about the cell, without the cell's name."""
    name = f" ({cell_of(comparison).name})"
    parts = [line.partition(": ") for line in findings(comparison)]
    return [
        text.removesuffix(name) for word, _, text in parts if word in ("incomparable", "drift", "slower", "more-memory")
    ]


def is_caught(comparison: Comparison) -> bool:
    """Return whether anything was flagged."""
    return bool(cell_of(comparison).flags)


def named_cause(fault: Fault, comparison: Comparison) -> str:
    """Return the finding that names the fault; empty if there is none."""
    return next((text for text in sentences_of(comparison) if re.search(fault.cause, text)), "")
