"""Harness: what a fault is, how a cell is run with it, and what the comparison then says."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.compare.comparison import CellComparison, Comparison, compare
from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.recipes import Recipe
from pytest_sst2.config.settings import Settings
from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
from pytest_sst2.instruments.environment import collect_environment
from pytest_sst2.report.comparison_text import findings
from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.session.cell_run import failure_of

METHOD: dict[str, MethodSpec] = {spec.name: spec for spec in METHODS}
LINEAR, TORCH, TUNE, WORDS, MAJORITY = "linear-probe", "torch-probe", "fine-tune", "tfidf", "majority"
PROBES = (LINEAR, TORCH)
ENCODERS = (LINEAR, TUNE)


@dataclass(frozen=True)
class World:
    """What a cell is made of.

    Attributes:
        model: A folder with an encoder in sentence-transformers layout.
        data: ``pocket`` or a folder.
        recipe: Its first seed is the cell's.
        scratch: Where altered model folders go.
        rounds: Repetitions of the cell.
    """

    model: Path
    data: str
    recipe: Recipe
    scratch: Path
    rounds: int = 1

    def with_recipe(self, **changes: Any) -> World:
        """Return the world with another recipe."""
        return dataclasses.replace(self, recipe=dataclasses.replace(self.recipe, **changes))


Inject = Callable[[pytest.MonkeyPatch, World], World | None]


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: What it is, in words.
        methods: The methods it is injected into.
        outcome: What must come of it: ``regressed``, ``incomparable``, ``slower``, ``more-memory``, or ``named`` where
            the accuracy may stand or fall but the cause must be told.
        cause: A regular expression for one of the sentences that tell it.
        inject: Patches what it has to, and returns the world to run in if that is another.
        ground: What the world must be like before, if not as it is: an encoder that normalises, say.
        rounds: Repetitions on either side, for faults of time.
        replays: The line of the project's table of real upgrades that this replays, if any.
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
        """Return the world that the fault comes over."""
        return dataclasses.replace(self.ground(world), rounds=self.rounds)

    @contextlib.contextmanager
    def injected(self, world: World) -> Iterator[World]:
        """Inject the fault for the body, into what ``before`` returned."""
        with pytest.MonkeyPatch.context() as patch:
            yield self.inject(patch, world) or world


FAULTS: list[Fault] = []


def _as_it_is(world: World) -> World:
    return world


# What has to be held with no flag at all.
NOTHING = Fault("nothing: the same run again", tuple(METHOD), "unchanged", "(?!)", lambda *_: None, _as_it_is, 1, "")


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
    """Add the decorated function to ``FAULTS``; arguments as the attributes of ``Fault``."""

    def add(inject: Inject) -> Inject:
        FAULTS.append(Fault(name, tuple(methods), outcome, cause, inject, ground, rounds, replays))
        return inject

    return add


def measure(world: World, method: str) -> Results:
    """Run one cell as the plugin does; an error becomes the Failure that the plugin would report."""
    from pytest_sst2.runner.context import RunContext
    from pytest_sst2.utils.errors import Sst2Error

    collect_environment.cache_clear()  # what an upgrade changes, it changes before the process starts
    model = ModelSpec("encoder", folder=world.model) if METHOD[method].needs_model else None
    cell = Cell(model, METHOD[method], world.recipe.seeds[0])
    try:
        workbench = RunContext(_settings(world))
        runner = workbench.runner(cell)
        runner.run_rounds(world.rounds)
        record = runner.record(workbench.floor_for)
    except Exception as error:
        reason = str(error) if isinstance(error, Sst2Error) else f"{type(error).__name__}: {error}"
        return Results([], [failure_of(cell, reason)], origin="this run")
    # Through the file that a baseline is kept in, packing and all.
    return results_from_text(results_text([record], [], packed=True), "this run")


def _settings(world: World) -> Settings:
    return Settings(
        models=(),
        models_base=world.scratch,
        methods=(),
        data=world.data,
        recipe=world.recipe,
        device="cpu",
        rounds=world.rounds,
        cache_bytes=None,  # a fault that was embedded once would be found again in the next test
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
        tolerance=0.005,
        alpha=0.01,
        overwrite=False,
        trust_remote_code=False,
        json_path=None,
        report_path=None,
        resume_path=None,
        executor="local",
        ray_address=None,
        ray_cpus=1,
        exclusive=False,
        shard=None,
        talkative=False,
        ci=False,
    )


def compared(before: Results, after: Results) -> Comparison:
    """Compare two runs of one cell by the gate's own rule."""
    return compare(before, after, tolerance=0.005, alpha=0.01)


def cell_of(comparison: Comparison) -> CellComparison:
    """Return the only cell."""
    (cell,) = comparison.cells
    return cell


def sentences_of(comparison: Comparison) -> list[str]:
    """Return what the comparison says of the cell, as the report has it, without the cell's name."""
    name = f" ({cell_of(comparison).name})"
    told = [line.partition(": ") for line in findings(comparison)]
    return [
        text.removesuffix(name) for word, _, text in told if word in ("incomparable", "drift", "slower", "more-memory")
    ]


def is_caught(comparison: Comparison) -> bool:
    """Tell whether anything was flagged at all."""
    return bool(cell_of(comparison).flags)


def named_cause(fault: Fault, comparison: Comparison) -> str:
    """Return the sentence that names the fault, empty if none does."""
    return next((text for text in sentences_of(comparison) if re.search(fault.cause, text)), "")
