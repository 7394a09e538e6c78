"""``upgrade --time``: more turns until the times of each cell are decided or the budget is over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pytest_sst2.compare.comparison import compare
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure, Phase, Record, Round
from pytest_sst2.runner.turns import SIDE_VARIABLE
from pytest_sst2.upgrade import benchmark_runs, timed_turns
from pytest_sst2.upgrade.ab_run import Measurements, Sides
from pytest_sst2.upgrade.benchmark_observer import BenchmarkObserver
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.symptom import Symptom
from pytest_sst2.upgrade.timed_turns import TimeLimits, measure_times, rounds_per_turn
from pytest_sst2.utils.clock import Clock
from tests.support.record_factory import make_record

CELLS = ("linear-probe", "fine-tune")


def measured(method: str, seconds: list[float], predict: float = 0.0) -> Record:
    rounds = tuple(Round(one + predict, (Phase("fit", one), Phase("predict", predict)), 0.004, 0, 0) for one in seconds)
    return make_record(model="minilm", method=method, cell=f"minilm-{method}-seed42", rounds=rounds)


class FakeTurns:
    """A fake of pytest in both environments. A pass takes ``pass_seconds`` of a fake clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pass_seconds = 0.0
        self.ran: list[tuple[str, str]] = []
        self.seconds: Callable[[str, str, int], float] = lambda _method, _side, _turn: 1.0
        self.predict: Callable[[str, str, int], float] = lambda _method, _side, _turn: 0.0
        self.failing = ""
        self.status = 0

    def __call__(
        self,
        _environment: BuiltEnvironment,
        plan: Plan,
        file: Path,
        log: Path,
        _notify: object,
        variables: Mapping[str, str] | None,
    ) -> int:
        side, turn = (variables or {}).get(SIDE_VARIABLE, "alone"), int(file.stem.rpartition("-")[2])
        options = dict(flag.removeprefix("--sst2-").split("=") for flag in plan.flags if flag.startswith("--sst2-"))
        assert options["seeds"] == "42"
        methods = options["methods"].split(",")
        self.ran += [(side, method) for method in methods]
        self.now += self.pass_seconds / 2
        records = [
            measured(
                method,
                [9.0] + (int(options.get("rounds", 1)) - 1) * [self.seconds(method, side, turn)],
                self.predict(method, side, turn),
            )
            for method in methods
            if method != self.failing
        ]
        failures = [Failure("x", "minilm", self.failing, 42, "broken")] if self.failing in methods else []
        log.write_text("E  broken", encoding="utf-8")
        if self.status == 0:
            file.write_text(results_text(Results(records, failures)), encoding="utf-8")
        return self.status

    def turns(self, method: str) -> int:
        assert self.ran.count(("before", method)) == self.ran.count(("after", method))
        return self.ran.count(("before", method))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> FakeTurns:
    fake = FakeTurns()
    monkeypatch.setattr(benchmark_runs, "run_pytest", fake)
    monkeypatch.setattr(timed_turns, "CLOCK", Clock(lambda: fake.now, lambda: fake.now))
    return fake


def measure(folder: Path, notify: Callable[[str], None] = lambda _: None, budget: float = 600.0) -> Measurements:
    before, after = (BuiltEnvironment(Path(name), {}, 0.0) for name in ("before", "after"))
    plan = Plan(("benchmarks",), ("--sst2-models=minilm",), folder)
    alone = Results([measured(method, [1.0]) for method in CELLS], [])
    sides = Sides(before, after, (), (), "python", "python")
    limits = TimeLimits(0.1, budget)
    return measure_times(sides, plan, Measurements(alone, alone, "", folder), limits, folder / "times", notify)


def speeds(done: Measurements) -> dict[str, set[str]]:
    assert done.after is not None
    cells = compare(done.before, done.after, tolerance=0.01, alpha=0.01).cells
    return {cell.method: {one.speed for one in cell.speed_and_memory.phases} for cell in cells if cell.speed_and_memory}


def noisy(method: str, side: str, turn: int) -> float:
    """Return a fine-tuning whose ratio alternates around 1; the probe takes 1.15 times as long."""
    if method == "linear-probe":
        return 1.15 if side == "after" else 1.0
    return 1.0 if side == "before" else (1.06 if turn % 2 else 1 / 1.06)


def test_cells_stop_one_by_one(runs: FakeTurns, tmp_path: Path) -> None:
    runs.seconds = noisy
    done = measure(tmp_path)
    assert runs.turns("linear-probe") == 4
    assert runs.turns("fine-tune") == 12
    assert speeds(done) == {"linear-probe": {"slower"}, "fine-tune": {"held"}}


def test_a_phase_that_is_a_small_part_spends_no_budget(runs: FakeTurns, tmp_path: Path) -> None:
    runs.seconds = lambda _method, _side, _turn: 5.0
    runs.predict = lambda _method, side, turn: 0.05 * (2.0 if side == "after" and turn % 2 else 1.0)
    done = measure(tmp_path)
    assert runs.turns("linear-probe") == 4
    assert speeds(done)["linear-probe"] == {"held"}


def test_the_budget_ends_it(runs: FakeTurns, tmp_path: Path) -> None:
    runs.seconds, runs.pass_seconds = noisy, 60.0
    lines: list[str] = []
    done = measure(tmp_path, lines.append, budget=330.0)
    # A sixth turn of a minute would not end in time.
    assert runs.turns("fine-tune") == 5
    assert speeds(done) == {"linear-probe": {"slower"}, "fine-tune": {"undecided"}}
    assert lines[-1] == "times: turn 5 (4 min of 6 min), minilm × fine-tune"


def test_an_interrupted_command_reuses_its_turns(runs: FakeTurns, tmp_path: Path) -> None:
    first = measure(tmp_path)
    count = len(runs.ran)
    assert measure(tmp_path) == first
    assert len(runs.ran) == count


def test_a_turn_that_cannot_run_keeps_what_was_measured(runs: FakeTurns, tmp_path: Path) -> None:
    runs.status = 3
    lines: list[str] = []
    done = measure(tmp_path, lines.append)
    assert lines[-1].startswith("note: times are measured no further: broken (exit status 3).")
    assert len(done.before.records) == 2


def test_a_cell_that_fails_in_a_turn_needs_no_further_one(runs: FakeTurns, tmp_path: Path) -> None:
    runs.failing = "fine-tune"
    done = measure(tmp_path)
    assert runs.turns("fine-tune") == 1
    assert speeds(done)["linear-probe"] == {"held"}


@pytest.mark.parametrize(("factor", "outcome"), [(1.0, Outcome.GOOD), (1.15, Outcome.BAD)])
def test_a_bisection_decides_by_turns_what_one_pass_leaves_undecided(
    factor: float, outcome: Outcome, runs: FakeTurns, tmp_path: Path
) -> None:
    runs.seconds = lambda _method, side, _turn: factor if side == "after" else 1.0
    ends = [BuiltEnvironment(Path(name), {}, 0.0) for name in ("before", "after", "between")]
    record = measured("linear-probe", [9.0])
    observer = BenchmarkObserver(
        sides=Sides(ends[0], ends[1], (), (), "python", "python"),
        found=Symptom("slower", ("minilm", "linear-probe"), "fit takes 1.15 × as long", (record,), (record,)),
        plan=Plan(("benchmarks",), (), tmp_path),
        passes=1,
        tolerance=0.01,
        alpha=0.01,
        folder=tmp_path / "bisect",
        notify=lambda _: None,
        times=TimeLimits(0.1, 600.0),
    )
    assert observer.observe(ends[2]).outcome is outcome
    assert runs.turns("linear-probe") == 4


def test_a_process_runs_rounds_for_ten_seconds() -> None:
    assert [rounds_per_turn([seconds]) for seconds in (0.01, 1.0, 2.0, 6.0, 12.0)] == [21, 11, 6, 3, 1]
    assert rounds_per_turn([1.0, 4.0]) == 3
