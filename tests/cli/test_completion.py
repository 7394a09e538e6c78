"""Completion in a shell: what argcomplete offers for a command line of pytest-sst2 and of pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main


def offered(line: str, folder: Path, module: str) -> list[str]:
    """Return the words that a shell would offer at the end of a line, in argcomplete's protocol."""
    file = folder / "offered"
    variables = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(file),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", module], cwd=folder, env=os.environ | variables, check=False)
    return [word.strip() for word in file.read_text(encoding="utf-8").split("\n") if word.strip()]


class TestArgcomplete:
    @pytest.fixture(autouse=True)
    def _argcomplete(self) -> None:
        pytest.importorskip("argcomplete")

    def test_commands_choices_and_baselines_are_offered(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2").mkdir()
        (tmp_path / ".sst2" / "nightly.json").write_text("{}", encoding="utf-8")
        for line, word in {
            "pytest-sst2 com": "compare",
            "pytest-sst2 compare --format mark": "markdown",
            "pytest-sst2 compare nig": "nightly",
        }.items():
            assert offered(line, tmp_path, "pytest_sst2.cli.main") == [word]

    def test_pytest_itself_offers_the_options_of_the_plugin(self, tmp_path: Path) -> None:
        assert "--sst2-tolerance" in offered("pytest --sst2-tol", tmp_path, "pytest")[0]


def test_without_argcomplete_the_request_of_a_shell_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_ARGCOMPLETE", "1")
    monkeypatch.setitem(sys.modules, "argcomplete", None)
    assert main(["recipes"]) == 0
    assert "homework9" in capsys.readouterr().out
