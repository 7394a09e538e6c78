"""``--sst2-seeds auto``: a cell stops when it is decided, in every way a run can be divided, killed and resumed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_sst2.session.auto_seeds import seeds_to_run
from tests.conftest import results

ALL = [42, 43, 44, 45, 46, 47, 48, 49]
# ``steady`` answers as ever. ``shaky`` answers otherwise than in the baseline once the file "upgraded" is there: by
# chance, another way for every seed. ``broken`` loses most of what it knew.
CONFTEST = """
import os
import pathlib
import signal

import numpy as np
from pytest_sst2 import MethodSpec

HERE = pathlib.Path(__file__).parent

def answers(kind):
    def train(job):
        with open(HERE / "trained.log", "a") as log:
            log.write(f"{kind} {job.seed}\\n")
        if (HERE / f"fails-{kind}-{job.seed}").exists():
            raise RuntimeError("out of order")
        if (HERE / f"dies-{kind}-{job.seed}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        known = dict(zip(job.evaluation.sentences, job.evaluation.labels))
        upgraded = (HERE / "upgraded").exists()
        wrong = {"steady": 0.2, "shaky": 0.2, "broken": 0.9 if upgraded else 0.1}[kind]

        def predict(sentences):
            is_wrong = np.random.default_rng((job.seed, upgraded and kind == "shaky")).random(len(sentences)) < wrong
            labels = np.array([known.get(sentence, 0) for sentence in sentences])
            return np.where(is_wrong, 1 - labels, labels) * 0.8 + 0.1

        return predict
    return train

def pytest_sst2_methods():
    return [MethodSpec(kind, answers(kind), needs_model=False) for kind in ("steady", "shaky", "broken")]
"""
TESTS = """
import pytest

@pytest.mark.sst2(added=True)
def test_cell(sst2_run):
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
"""
METHODS = "\nsst2_methods = steady,shaky,broken\nsst2_seeds = auto\n"
_BASELINE: list[bytes] = []  # saved by the first test


@pytest.fixture
def cells(project: pytest.Pytester) -> pytest.Pytester:
    """A project with three methods that write down every training, and a baseline of eight seeds each."""
    project.makeconftest(CONFTEST)
    (project.path / "test_bench.py").write_text(TESTS, encoding="utf-8")
    ini = project.path / "tox.ini"
    ini.write_text(ini.read_text(encoding="utf-8") + METHODS, encoding="utf-8")
    baseline = project.path / ".sst2" / "main.json"
    if _BASELINE:
        baseline.parent.mkdir()
        baseline.write_bytes(_BASELINE[0])
    else:
        saved = project.runpytest("--sst2-save", "main")
        assert saved.ret == 0
        saved.stdout.fnmatch_lines(["sst2: --sst2-seeds auto: all 8 seeds of every cell*no baseline to compare with"])
        assert trained(project) == {"steady": ALL, "shaky": ALL, "broken": ALL}
        _BASELINE.append(baseline.read_bytes())
    (project.path / "upgraded").touch()
    return project


def trained(project: pytest.Pytester) -> dict[str, list[int]]:
    """Return the seeds of each method that were trained since this was asked last."""
    log = project.path / "trained.log"
    lines = log.read_text(encoding="utf-8").split("\n")[:-1] if log.exists() else []
    log.unlink(missing_ok=True)
    seeds: dict[str, list[int]] = {}
    for kind, seed in map(str.split, lines):
        seeds.setdefault(kind, []).append(int(seed))
    return {kind: sorted(found) for kind, found in seeds.items()}


def content(project: pytest.Pytester, name: str = "r.json") -> dict[str, Any]:
    return results(project.path / name)


def looks(data: dict[str, Any], method: str) -> list[tuple[int, str]]:
    return [(len(look["seeds"]), look["verdict"]) for look in data["looks"] if look["method"] == method]


def compare(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest("--sst2-compare", "main", "--sst2-json", "r.json", *arguments)


def test_a_cell_stops_when_it_is_decided_and_its_later_seeds_are_skipped(cells: pytest.Pytester) -> None:
    result = compare(cells, "-rs")
    found = trained(cells)
    assert found["steady"] == [42]
    assert len(found["broken"]) < 8
    assert found["shaky"] == ALL
    total = sum(map(len, found.values()))
    result.assert_outcomes(passed=total, skipped=24 - total)
    assert result.ret == 1  # broken is regressed
    result.stdout.fnmatch_lines(
        [
            "sst2: --sst2-seeds auto: up to 8 seeds per cell (42, 43, *, 49), until it is decided",
            "* seeds not measured: *steady decided after 1 of 8 seeds: identical*",
            "SKIPPED *decided after 1 of 8 seeds: identical",
        ]
    )
    result.stdout.no_fnmatch_line("*did not run*")
    data = content(cells)
    assert looks(data, "steady") == [(1, "identical")]
    assert looks(data, "broken")[-1][1] == "regressed"
    assert [count for count, _ in looks(data, "shaky")] == [1, 3, 5, 8]
    assert {skipped["seed"] for skipped in data["skipped"] if skipped["method"] == "steady"} == set(ALL[1:])


def test_a_resumed_run_measures_nothing_twice_and_spends_no_look_twice(cells: pytest.Pytester) -> None:
    whole = compare(cells)
    expected, measured = content(cells), trained(cells)
    # As a kill leaves the file: the records of some seeds, with the looks taken by then.
    kept = [record for record in expected["records"] if record["seed"] in ALL[:4]]
    cut = {**expected, "records": kept, "skipped": [], "looks": [x for x in expected["looks"] if len(x["seeds"]) < 5]}
    (cells.path / "cut.json").write_text(json.dumps(cut), encoding="utf-8")
    result = cells.runpytest("--sst2-compare", "main", "--sst2-resume", "cut.json")
    assert result.ret == whole.ret
    assert trained(cells) == {kind: seeds[4:] for kind, seeds in measured.items() if seeds[4:]}
    resumed = content(cells, "cut.json")
    assert resumed["looks"] == expected["looks"]
    assert sorted(one["cell"] for one in resumed["skipped"]) == sorted(one["cell"] for one in expected["skipped"])


def test_a_seed_that_fails_ends_its_cell(cells: pytest.Pytester) -> None:
    (cells.path / "fails-shaky-42").touch()
    result = compare(cells, "-rs", "--methods", "shaky,steady")
    assert trained(cells) == {"shaky": [42], "steady": [42]}
    result.assert_outcomes(passed=1, failed=1, skipped=14)
    result.stdout.fnmatch_lines(["SKIPPED *not needed: seed 42 has no number, so the cell cannot be compared"])
    (cells.path / "fails-shaky-42").unlink()
    cells.runpytest("--sst2-compare", "main", "--sst2-resume", "r.json", "--methods", "shaky,steady")
    assert trained(cells) == {"shaky": ALL}


def test_a_floor_that_is_missed_fails_its_test_and_changes_no_look(cells: pytest.Pytester) -> None:
    result = compare(cells, "--methods", "steady", "--sst2-min-accuracy", "1")
    result.assert_outcomes(failed=1, skipped=7)
    assert looks(content(cells), "steady") == [(1, "identical")]


def test_a_run_that_saves_a_baseline_measures_every_seed(cells: pytest.Pytester) -> None:
    result = compare(cells, "--methods", "steady", "--sst2-save", "next")
    assert trained(cells) == {"steady": ALL}
    result.stdout.fnmatch_lines(["sst2: --sst2-seeds auto: all 8 seeds*because this run saves a baseline"])
    assert "looks" not in content(cells)
    assert len(results(cells.path / ".sst2" / "next.json")["records"]) == 8


def test_one_shard_has_all_seeds_of_a_cell(cells: pytest.Pytester) -> None:
    together: dict[str, list[int]] = {}
    for number in (1, 2):
        compare(cells, "--sst2-shard", f"{number}/2")
        found = trained(cells)
        assert not together.keys() & found.keys()
        together |= found
        (cells.path / "r.json").rename(cells.path / f"{number}.json")
    assert together["steady"] == [42]
    assert together["shaky"] == ALL
    from pytest_sst2.cli.main import main

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cells.path)
        assert main(["merge", "1.json", "2.json", "-o", "all.json"]) == 0
    assert looks(content(cells, "all.json"), "steady") == [(1, "identical")]


def compare_and_check_trained(cells: pytest.Pytester, *options: str) -> dict[str, list[int]]:
    """Compare, check that no seed was trained that is not needed, and return the trained seeds of each method."""
    result, found = compare(cells, *options), trained(cells)
    assert found["steady"] == [42]
    assert found["shaky"] == ALL
    total = sum(map(len, found.values()))
    result.assert_outcomes(passed=total, skipped=24 - total)
    return found


@pytest.mark.processes
def test_one_worker_has_all_seeds_of_a_cell(cells: pytest.Pytester) -> None:
    found = compare_and_check_trained(cells, "-n", "2")
    data = content(cells)
    assert looks(data, "steady") == [(1, "identical")]
    for method in found:
        assert len({record["placement"]["worker"] for record in data["records"] if record["method"] == method}) == 1


@pytest.mark.processes
def test_a_worker_that_dies_ends_its_cell_only(cells: pytest.Pytester) -> None:
    (cells.path / "dies-shaky-43").touch()
    compare(cells, "-n", "2", "--methods", "steady,shaky")
    assert trained(cells) == {"steady": [42], "shaky": [42, 43]}
    data = content(cells)
    assert [failure["cell"] for failure in data["failures"]] == ["shaky-seed43"]
    reasons = {skipped["reason"] for skipped in data["skipped"] if skipped["method"] == "shaky"}
    assert reasons == {"not needed: seed 43 has no number, so the cell cannot be compared"}
    assert looks(data, "shaky") == [(1, "undecided")]
    (cells.path / "dies-shaky-43").unlink()
    # In a process of its own, because other tests may have changed the environment of this one.
    options = ("--sst2-compare", "main", "--sst2-resume", "r.json", "--methods", "steady,shaky")
    cells.runpytest_subprocess(*options)
    assert trained(cells) == {"shaky": ALL[1:]}
    assert [count for count, _ in looks(content(cells), "shaky")] == [1, 3, 5, 8]


@pytest.mark.processes
def test_a_cluster_measures_no_seed_that_is_not_needed(cells: pytest.Pytester) -> None:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    compare_and_check_trained(cells, "--sst2-executor", "ray")
    assert looks(content(cells), "steady") == [(1, "identical")]


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ([], ALL),
        ([42], ALL),
        ([7], [7, *ALL[:7]]),
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, 3, 1, 2, 3], [1, 2, 3]),
        (list(range(20)), list(range(8))),
    ],
)
def test_the_seeds_are_those_of_the_baseline(baseline: Sequence[int], expected: Sequence[int]) -> None:
    assert list(seeds_to_run(baseline)) == list(expected)


def test_auto_stands_alone(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_cell(sst2_run): ...")
    result = pytester.runpytest("--sst2-seeds", "auto,1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'auto' is not a seed; *or auto alone*"])
