"""Sets of packages that one measurement leaves undecided: more seeds, or the word undecided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.config.recipes import ALL_AUTO_SEEDS
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.upgrade import benchmark_runs, package_search
from pytest_sst2.upgrade.ab_run import Sides
from pytest_sst2.upgrade.benchmark_observer import BenchmarkObserver
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.cause_search import with_undecided
from pytest_sst2.upgrade.dependency_closure import InstalledPackages
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.observer import repeat_ends
from pytest_sst2.upgrade.package_search import PackageSearch, release_sentence
from pytest_sst2.upgrade.pins import VersionChange
from pytest_sst2.upgrade.symptom import Symptom
from tests.support.record_factory import answered

SENTENCES = 872
BETWEEN = ("1.1", "1.2", "1.3")


def trained(version: str, seed: int, drop: float, sd: float = 0.01) -> Record:
    """Return a training of a release; one without a drop takes the same course as that of the first release."""
    chance = np.random.default_rng((seed, *(version if drop else "1.0").encode()))
    sentences = np.random.default_rng(1).random(SENTENCES)
    right = sentences < 0.85 - drop + sd * chance.standard_normal()
    cell = f"minilm-fine-tune-seed{seed}"
    return answered(right.tolist(), seed=seed, model="minilm", method="fine-tune", cell=cell)


class FakeRuns:
    """A fake of pytest: the release of the package decides the drop."""

    def __init__(self) -> None:
        self.drop: Callable[[str], float] = lambda version: 0.1 if version >= "1.2" else 0.0
        self.measured: list[tuple[str, int]] = []
        self.fails_from = len(ALL_AUTO_SEEDS)

    def __call__(self, environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_: object) -> int:
        version = environment.pins["culprit"]
        options = dict(flag.removeprefix("--sst2-").split("=") for flag in plan.flags)
        log.write_text("", encoding="utf-8")
        records, failures = [], []
        for seed in map(int, options["seeds"].split(",")):
            self.measured.append((version, seed))
            if seed in ALL_AUTO_SEEDS[self.fails_from :]:
                failures.append(Failure(f"minilm-fine-tune-seed{seed}", "minilm", "fine-tune", seed, "out of memory"))
            else:
                records.append(trained(version, seed, self.drop(version)))
        file.write_text(results_text(Results(records, failures)), encoding="utf-8")
        return 0


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> FakeRuns:
    fake = FakeRuns()
    monkeypatch.setattr(benchmark_runs, "run_pytest", fake)
    monkeypatch.setattr(package_search, "inspect_environment", lambda _: InstalledPackages({}, {}, {}))
    return fake


def search(
    runs: FakeRuns, folder: Path, seeds: str = "auto", measured: int = 3
) -> tuple[PackageSearch, list[str], BenchmarkObserver]:
    """Return a search of ``culprit`` 1.0 to 2.0, whose drop was seen with some seeds, and its progress."""

    def built(pins: dict[str, str], _: str) -> BuiltEnvironment:
        return BuiltEnvironment(folder / pins["culprit"], pins, 0.0)

    def resolved(roots: Sequence[str], _: str, **__: Any) -> dict[str, str]:
        return {"culprit": roots[-1].removeprefix("culprit==")}

    symptom_records = (
        tuple(trained(version, seed, runs.drop(version)) for seed in ALL_AUTO_SEEDS[:measured])
        for version in ("1.0", "2.0")
    )
    uv: Any = SimpleNamespace(releases=lambda *_: BETWEEN, resolve=resolved)
    environments: Any = SimpleNamespace(uv=uv, build=built, runner=("runner",))
    lines: list[str] = []
    of_sides = [built({"culprit": version}, "") for version in ("1.0", "2.0")]
    changes = (VersionChange("culprit", "1.0", "2.0"),)
    sides = Sides(of_sides[0], of_sides[1], changes, (), "python", "python")
    observer = BenchmarkObserver(
        sides=sides,
        found=Symptom("regressed", ("minilm", "fine-tune"), "accuracy 0.85 → 0.80", *symptom_records),
        plan=Plan(("benchmarks",), (f"--sst2-seeds={seeds}",), folder),
        passes=1,
        tolerance=TOLERANCE,
        alpha=ALPHA,
        folder=folder / "bisect",
        notify=lines.append,
    )
    found = PackageSearch(sides=sides, environments=environments, observe=observer.observe, notify=lines.append)
    return found, lines, observer


def first_bad(found: PackageSearch) -> str:
    return release_sentence(found, found.minimal_set())


def test_a_release_as_good_as_the_earlier_one_needs_no_more_seeds(runs: FakeRuns, tmp_path: Path) -> None:
    found, *_ = search(runs, tmp_path)
    assert first_bad(found) == "first bad release: culprit 1.2; last good release tested: 1.1"
    assert {seed for _, seed in runs.measured} == set(ALL_AUTO_SEEDS[:3])


def test_an_undecided_release_gets_more_seeds_until_it_is_decided(runs: FakeRuns, tmp_path: Path) -> None:
    runs.drop = lambda version: {"1.0": 0.0, "1.1": 0.0, "1.2": 0.03}.get(version, 0.06)
    found, lines, _ = search(runs, tmp_path)
    sentence = first_bad(found)
    assert [line.partition(": ")[2] for line in lines if "after" in line] == ["culprit 1.2: bad (after 5 seeds)"]
    assert sentence == "first bad release: culprit 1.2; last good release tested: 1.1"
    # The two environments are measured once with the further seeds, whatever the number of undecided releases.
    assert len(runs.measured) == len(set(runs.measured))


def test_no_release_is_the_first_bad_one_next_to_an_undecided_one(runs: FakeRuns, tmp_path: Path) -> None:
    runs.drop = lambda version: {"1.0": 0.0, "1.1": 0.0, "1.2": 0.015}.get(version, 0.06)
    found, *_ = search(runs, tmp_path, measured=8)
    assert first_bad(found) == (
        "the first bad release is one of culprit 1.2 (undecided) and 1.3; last good release tested: 1.1"
    )
    assert found.undecided == 1


def test_typed_seeds_are_kept_and_auto_is_offered(runs: FakeRuns, tmp_path: Path) -> None:
    runs.drop = lambda version: {"1.0": 0.0, "1.1": 0.0, "1.2": 0.03}.get(version, 0.06)
    found, _, observer = search(runs, tmp_path, seeds="42,43,44")
    assert "culprit 1.2 (undecided)" in first_bad(found)
    assert {seed for _, seed in runs.measured} == {42, 43, 44}
    assert with_undecided("1 set", 1, observer.remedy) == (
        "1 set, 1 of them undecided: --sst2-seeds auto measures more seeds of them"
    )


def test_more_seeds_that_fail_leave_the_release_undecided(runs: FakeRuns, tmp_path: Path) -> None:
    runs.drop = lambda version: {"1.0": 0.0, "1.1": 0.0, "1.2": 0.03}.get(version, 0.06)
    runs.fails_from = 3
    found, *_ = search(runs, tmp_path)
    assert "culprit 1.2 (undecided)" in first_bad(found)


def test_a_drop_that_is_undecided_when_measured_again_is_not_searched(runs: FakeRuns, tmp_path: Path) -> None:
    runs.drop = lambda version: 0.05 if version == "2.0" else 0.0
    found, lines, observer = search(runs, tmp_path)
    assert repeat_ends(observer, found.sides, lines.append) == ""
    runs.drop = lambda version: 0.02 if version == "2.0" else 0.0
    again, _, observer = search(runs, tmp_path / "again", seeds="42,43,44")
    assert repeat_ends(observer, again.sides, lines.append).startswith(
        "no cause: measured again, the later environment is undecided, not bad as before"
    )
