"""Which benchmarks, data and models run if commits are compared."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.upgrade.benchmark_plan import plan_of_commits
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.checkouts import Checkout
from pytest_sst2.upgrade.installed_here import installed_here
from pytest_sst2.upgrade.repository import Repository
from pytest_sst2.utils.errors import Sst2Error


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """The plan for a commit with benchmarks, data and a model, and others in the working folder."""
    top, commit = tmp_path / "repository", tmp_path / "commit"
    for path in (
        commit / "own/cells",
        commit / "own/minilm",
        commit / "data",
        top / "own",
        top / "data",
        top / "out/model",
        top / "hub",
    ):
        path.mkdir(parents=True)
    monkeypatch.chdir(top / "own")

    def of(benchmarks: str | None, *flags: str) -> Plan:
        environment = installed_here().at(Checkout("a" * 40, commit, commit / "own", (), top))
        options = argparse.Namespace(benchmarks=benchmarks, flags=flags)
        return plan_of_commits(options, Repository(top, Path("own")), environment)

    return of


def test_what_the_commit_has_is_the_commits_and_the_rest_is_that_of_the_working_folder(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    found = plan("cells::test_one", "--sst2-data=../data", "--sst2-models=minilm,./minilm,../out/model,org/model")
    assert found.targets == ("cells::test_one",)
    assert found.flags == (
        "--sst2-data=../data",
        f"--sst2-models=minilm,./minilm,{tmp_path}/repository/out/model,org/model",
    )
    assert found.files() == []
    assert plan(None, "--sst2-data=hub").flags == ("--sst2-data=hub",)
    with pytest.raises(Sst2Error, match="--benchmarks 'none' does not exist, neither in the later commit nor in the"):
        plan("none")
