"""Baselines, the compared file and files that are not results are not overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.results.file import Results, results_text
from tests.conftest import results
from tests.support.record_factory import make_record

USAGE_ERROR = pytest.ExitCode.USAGE_ERROR
BASELINE = results_text(Results([make_record()], saved="2026-08-01T12:00:00+00:00"), packed=True)


@pytest.fixture
def kept(cells: pytest.Pytester) -> pytest.Pytester:
    """A project with a baseline, a results file and another file."""
    (cells.path / ".sst2").mkdir()
    for name in (".sst2/main.json", "reference.json"):
        (cells.path / name).write_text(BASELINE, encoding="utf-8")
    (cells.path / "keep.py").write_text("ANSWER = 42\n", encoding="utf-8")
    return cells


def contents(project: pytest.Pytester) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in project.path.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["--sst2-json=.sst2/main.json"],
            "--sst2-json '*main.json' is in the folder of the baselines. *--sst2-save NAME.",
        ),
        (["--sst2-json=.sst2/new.json"], "--sst2-json '*new.json' is in the folder of the baselines. *"),
        (["--sst2-json=sub/../.sst2/new.json"], "--sst2-json '*new.json' is in the folder of the baselines. *"),
        (["--sst2-resume=.sst2/main.json"], "--sst2-resume '*main.json' is in the folder of the baselines. *"),
        (
            ["--sst2-compare=main", "--sst2-json=.sst2/main.json"],
            "--sst2-json '*main.json' is also the file of --sst2-compare*Name another file.",
        ),
        (
            ["--sst2-compare=reference.json", "--sst2-json=./reference.json"],
            "--sst2-json '*reference.json' is also the file of --sst2-compare*",
        ),
        (
            ["--sst2-compare=reference.json", "--sst2-resume=reference.json"],
            "--sst2-resume '*reference.json' is also the file of --sst2-compare*",
        ),
        (
            ["--sst2-json=keep.py"],
            "--sst2-json would overwrite this file: *keep.py is not a results file written by *Name another file.",
        ),
        (
            ["--sst2-resume=reference.json", "--sst2-json=keep.py"],
            "--sst2-json would overwrite this file: *keep.py is not a results file *",
        ),
    ],
)
def test_baselines_inputs_and_other_files_are_not_overwritten(
    kept: pytest.Pytester, arguments: list[str], error: str
) -> None:
    before = contents(kept)
    result = kept.runpytest("--methods=majority", "--sst2-data=pocket", *arguments)
    assert result.ret == USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {error}"])
    assert {path: before[path] for path in before} == {path: contents(kept)[path] for path in before}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sst2-json=reference.json"],
        ["--sst2-json=empty.json"],
        ["--sst2-compare=main", "--sst2-json=reference.json"],
        ["--sst2-resume=.sst2/main.json", "--sst2-json=new.json"],
    ],
)
def test_results_of_another_run_an_empty_file_and_a_new_file_can_be_written(
    kept: pytest.Pytester, arguments: list[str]
) -> None:
    (kept.path / "empty.json").touch()
    assert kept.runpytest("--collect-only", "-q", "--methods=majority", *arguments).ret == 0


class TestShards:
    METHODS = ("--methods=tfidf,majority",)

    def test_a_shard_is_not_resumed_in_the_file_of_a_whole_run(self, project: pytest.Pytester) -> None:
        assert project.runpytest(*self.METHODS, "--sst2-json=whole.json").ret == 0
        before = (project.path / "whole.json").read_bytes()
        refused = project.runpytest(*self.METHODS, "--sst2-shard=1/2", "--sst2-resume=whole.json")
        assert refused.ret == USAGE_ERROR
        refused.stderr.fnmatch_lines(
            ["ERROR: --sst2-resume '*whole.json' has a run without shards, but this run is shard 1/2. *"]
        )
        assert (project.path / "whole.json").read_bytes() == before
        shard = ("--sst2-shard=1/2", "--sst2-resume=whole.json", "--sst2-json=1.json")
        apart = project.runpytest(*self.METHODS, *shard)
        apart.stdout.fnmatch_lines(["1 of 1 cell taken from whole.json"])
        assert (results(project.path / "1.json")["shard"], (project.path / "whole.json").read_bytes()) == (
            "1/2",
            before,
        )

    def test_a_shard_is_resumed_in_its_own_file_only(self, project: pytest.Pytester) -> None:
        options = (*self.METHODS, "--sst2-resume=1.json")
        for _ in range(2):
            assert project.runpytest(*options, "--sst2-shard=1/2").ret == 0
        refused = project.runpytest(*options, "--sst2-shard=2/2")
        refused.stderr.fnmatch_lines(["ERROR: --sst2-resume '*1.json' has shard 1/2, but this run is shard 2/2. *"])
        assert results(Path(project.path / "1.json"))["shard"] == "1/2"
