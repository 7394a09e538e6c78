"""``upgrade --sst2-seeds auto``: both environments by turns, until each cell is decided."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.compare.comparison import compare
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade import benchmark_runs
from pytest_sst2.upgrade.ab_run import Measurements, Sides
from pytest_sst2.upgrade.auto_seeds import measure_until_decided
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan
from pytest_sst2.upgrade.environments import BuiltEnvironment
from tests.support.record_factory import answered

TOLERANCE, ALPHA = 0.01, 0.01
CELLS = [("minilm", "linear-probe"), ("minilm", "fine-tune"), ("albert", "fine-tune"), (None, "tfidf")]


def made(model: str | None, method: str, seed: int, side: str) -> Record:
    """Return a record: fine-tuning differs by chance between the sides, everything else is as before."""
    chance = np.random.default_rng((seed, side == "after" and method == "fine-tune"))
    cell = "-".join(part for part in (model, method, f"seed{seed}") if part)
    right = (chance.random(400) > 0.2).tolist()
    return dataclasses.replace(answered(right, seed=seed, model=model, method=method, cell=cell))


class FakeRuns:
    """A fake of pytest in both environments, which measures what the plan selects."""

    def __init__(self) -> None:
        self.measured: list[tuple[str, str, int]] = []
        self.make: Callable[[str | None, str, int, str], Record | Failure] = made
        self.interrupt_at = 0
        self.runs = 0

    def __call__(self, environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_more: object) -> int:
        self.runs += 1
        if self.runs == self.interrupt_at:
            raise KeyboardInterrupt
        side = environment.folder.name
        options = dict(flag.removeprefix("--sst2-").split("=") for flag in plan.flags)
        models, methods = options.get("models", "").split(","), options.get("methods", "").split(",")
        cells = [
            (model, method)
            for model, method in CELLS
            if (model is None or model in models) and (methods == [""] or method in methods)
        ]
        results = [self.make(*key, int(seed), side) for key in cells for seed in options["seeds"].split(",")]
        self.measured += [(side, f"{one.model} {one.method}", one.seed) for one in results]
        records = [one for one in results if isinstance(one, Record)]
        log.write_text("", encoding="utf-8")
        failures = [one for one in results if isinstance(one, Failure)]
        file.write_text(results_text(Results(records, failures)), encoding="utf-8")
        return 0

    def seeds(self, side: str, cell: str) -> list[int]:
        return [seed for where, what, seed in self.measured if (where, what) == (side, cell)]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake = FakeRuns()
    monkeypatch.setattr(benchmark_runs, "run_pytest", fake)
    return fake


def measure(folder: Path, notify: Callable[[str], None] = lambda _: None) -> Measurements:
    before, after = (BuiltEnvironment(Path(name), {}, 0.0) for name in ("before", "after"))
    plan = Plan(("benchmarks",), ("--sst2-models=minilm,albert", "--sst2-seeds=auto"), folder)
    sides = Sides(before, after, (), (), "python", "python")
    return measure_until_decided(sides, plan, 1, folder / "runs", notify, tolerance=TOLERANCE, alpha=ALPHA)


def test_cells_stop_one_by_one_and_the_others_go_on_by_turns(runs: FakeRuns, tmp_path: Path) -> None:
    lines: list[str] = []
    measured = measure(tmp_path, lines.append)
    assert measured.after is not None
    for cell in ("minilm linear-probe", "None tfidf"):
        assert runs.seeds("before", cell) == runs.seeds("after", cell) == [42]
    for cell in ("minilm fine-tune", "albert fine-tune"):
        # More than five seeds would hardly decide it.
        assert runs.seeds("before", cell) == runs.seeds("after", cell) == list(ALL_AUTO_SEEDS[:5])
    # By turns, and the order of the turns alternates.
    assert [line.partition(":")[0] for line in lines] == ["before", "after", "after", "before", "before", "after"]
    assert lines[2] == "after: pass 1 of 1, seeds 43, 44 of minilm × fine-tune, albert × fine-tune"
    comparison = compare(measured.before, measured.after, tolerance=TOLERANCE, alpha=ALPHA)
    verdicts = {cell.name: (cell.verdict, len(cell.seeds)) for cell in comparison.cells}
    assert verdicts["tfidf"] == verdicts["minilm × linear-probe"] == ("identical", 1)
    assert verdicts["minilm × fine-tune"] == ("undecided", 5)
    assert comparison.seeds_only_before == {}


def test_an_interrupted_command_reuses_what_it_measured_and_takes_the_same_looks(
    runs: FakeRuns, tmp_path: Path
) -> None:
    whole = measure(tmp_path / "whole")
    expected = sorted(runs.measured)
    for moment in range(1, runs.runs + 1):
        folder = tmp_path / f"cut-{moment}"
        runs.measured, runs.runs, runs.interrupt_at = [], 0, moment
        with pytest.raises(KeyboardInterrupt):
            measure(folder)
        again = measure(folder)
        assert sorted(runs.measured) == expected
        assert again.after is not None
        assert whole.after is not None
        assert again.after.looks == whole.after.looks


def test_a_cell_without_a_number_needs_no_more_seeds(runs: FakeRuns, tmp_path: Path) -> None:
    def failing(model: str | None, method: str, seed: int, side: str) -> Record | Failure:
        if (model, method, side) == ("albert", "fine-tune", "after"):
            return Failure("albert-fine-tune-seed42", model, method, seed, "out of memory")
        return made(model, method, seed, side)

    runs.make = failing
    measured = measure(tmp_path)
    assert runs.seeds("before", "albert fine-tune") == [42]
    assert measured.after is not None
    comparison = compare(measured.before, measured.after, tolerance=TOLERANCE, alpha=ALPHA)
    assert {cell.name: cell.verdict for cell in comparison.cells}["albert × fine-tune"] == "incomparable"


def test_a_later_environment_that_breaks_off_is_reported(runs: FakeRuns, tmp_path: Path) -> None:
    def broken(model: str | None, method: str, seed: int, side: str) -> Record:
        if side == "after" and seed != 42:
            raise BenchmarkRunError("it does not run.")
        return made(model, method, seed, side)

    runs.make = broken
    measured = measure(tmp_path)
    assert measured.after is None
    assert measured.after_error == "it does not run."
    assert isinstance(measured.before, Results)
