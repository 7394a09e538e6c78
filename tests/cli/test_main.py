"""The entry point `pytest-sst2`: its tables, usage errors and a closed pipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_sst2.cli import doctor_checks
from pytest_sst2.cli.doctor_checks import Finding
from pytest_sst2.cli.main import _COMMANDS, main
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.results.file import Results, results_text
from tests.support.record_factory import make_record


def test_every_model_method_and_recipe_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for command, names in [
        ("models", [spec.hub_id for spec in CATALOG]),
        ("methods", [spec.name for spec in METHODS]),
        ("recipes", list(PRESETS)),
    ]:
        assert main([command]) == 0
        output = capsys.readouterr().out
        assert not [name for name in names if name not in output]


def test_a_closed_stdout_leaves_the_exit_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["recipes"]) == 0


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["comapre"])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "usage: pytest-sst2" in message
    assert message.endswith(". Did you mean 'compare'?\n")


def test_without_a_command_all_are_listed_with_the_status_of_a_usage_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    for module in _COMMANDS:
        assert re.search(rf"^    {module.__name__.rpartition('.')[2]} ", output.err, re.MULTILINE)


# Commands that write files, and print their paths.
WRITING = {"merge", "report", "upgrade", "lock"}


def test_every_command_that_lists_something_lists_it_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(doctor_checks, "examine", lambda: [Finding("data", "pocket", "ok", "400 sentences")])
    (tmp_path / ".sst2").mkdir()
    for name in ("one", "two"):
        text = results_text(Results([make_record()], saved="2026-08-01T12:00:00+00:00"))
        (tmp_path / ".sst2" / f"{name}.json").write_text(text, encoding="utf-8")
    arguments = {"compare": ["one", "two"], "plan": ["one", "--seeds=1"]}
    shown = {}
    for module in _COMMANDS:
        command = module.__name__.rpartition(".")[2]
        if command not in WRITING | {"check"}:  # its own tests load a model
            assert main([command, *arguments.get(command, ()), "--format=json"]) == 0
            shown[command] = json.loads(capsys.readouterr().out)
    assert [model["name"] for model in shown["models"]] == [spec.name for spec in CATALOG]
    assert shown["methods"][0]["needs_model"] is True
    assert [recipe["name"] for recipe in shown["recipes"]] == list(PRESETS)
    assert shown["compare"]["headline"].startswith("HOLDS: ")
    assert [point["baseline"] for point in shown["history"]["cells"][0]["points"]] == ["one", "two"]
    assert shown["doctor"]["findings"][0]["state"] == "ok"
    assert shown["cache"] == {"folder": str(tmp_path / "cache"), "bytes": 0, "removed_entries": None}
    assert shown["plan"]["plans"]


def test_a_closed_pipe_is_not_an_error() -> None:
    command = f"{sys.executable} -m pytest_sst2.cli.main models | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("model ")
    assert done.stderr == ""
