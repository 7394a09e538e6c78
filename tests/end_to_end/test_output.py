"""Output that goes away, and results on stdout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.baselines import load_results
from tests.conftest import results

RUN = (sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--methods=majority", "--sst2-seeds=1,2,3")


def test_results_go_to_stdout_and_the_rest_to_stderr(
    project: pytest.Pytester, capfd: pytest.CaptureFixture[str]
) -> None:
    result = project.runpytest_inprocess("--methods=majority", "--sst2-json=-", "--sst2-seeds=1,2")
    assert result.ret == 0
    written = json.loads(result.stdout.str())
    assert [record["cell"] for record in written["records"]] == ["majority-seed1", "majority-seed2"]
    assert "SST-2 benchmark" in result.stderr.str()
    (project.path / "r.json").write_text(result.stdout.str(), encoding="utf-8")
    assert load_results(project.path, project.path, "r.json").missing == []


@pytest.mark.processes
@pytest.mark.parametrize("command", ["head -1", "sh -c 'exec <&-; sleep 1'"], ids=["head", "closed"])
def test_a_reader_that_goes_away_loses_no_cell(project: pytest.Pytester, command: str) -> None:
    line = " ".join((*RUN, "--sst2-save=main", "--sst2-json=r.json"))
    subprocess.run(f"{line} | {command}", shell=True, cwd=project.path, check=True, capture_output=True)
    for name in (".sst2/main.json", "r.json"):
        assert len(results(project.path / name)["records"]) == 3


@pytest.mark.processes
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_log_loses_no_cell(project: pytest.Pytester) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([*RUN, "--sst2-save=main"], cwd=project.path, check=False, stdout=full)
    assert done.returncode == 0
    assert len(results(project.path / ".sst2" / "main.json")["records"]) == 3
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_sst2.cli.main", "history"],
            cwd=project.path, check=False, stdout=full, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "pytest-sst2: the output cannot be written: No space left on device.\n"


class TestCommands:
    def test_an_unexpected_error_is_one_sentence_with_a_status_of_its_own(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        def fail(_options: object) -> None:
            raise ZeroDivisionError("division by zero")

        monkeypatch.setattr("pytest_sst2.cli.models.run", fail)
        monkeypatch.setattr(fail, "__module__", "pytest_sst2.cli.models")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert main(["models"]) == 3
        output = capsys.readouterr()
        (path,) = tmp_path.iterdir()
        assert output.out == ""
        assert output.err == (
            "pytest-sst2: the command models failed unexpectedly (ZeroDivisionError: division by zero). Its traceback "
            f"is in {path}; please report it with that file.\n"
        )

    @pytest.mark.parametrize("command", ["history", "compare a b", "merge a -o b", "report a -o b", "doctor", "models"])
    def test_a_working_folder_that_was_removed_is_no_traceback(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
    ) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        try:
            status = main(command.split())
        finally:
            os.chdir(tmp_path)
        assert status == 2
        assert "the working folder no longer exists" in capsys.readouterr().err


class TestComparisonThatFails:
    def test_the_results_are_written_first(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        assert project.runpytest("--methods=majority", "--sst2-save=main").ret == 0

        def fail(*_arguments: object, **_options: object) -> None:
            raise OverflowError("too large")

        monkeypatch.setattr("pytest_sst2.compare.comparison.compare", fail)
        monkeypatch.setattr("tempfile.tempdir", str(project.path))
        result = project.runpytest("--methods=majority", "--sst2-compare=main", "--sst2-save=new", "--sst2-json=r.json")
        assert result.ret == 3
        result.stdout.fnmatch_lines(["ERROR: the comparison failed unexpectedly (OverflowError: too large). *"])
        for name in (".sst2/new.json", "r.json"):
            assert len(results(project.path / name)["records"]) == 1
