"""The entry point `pytest-sst2`: its tables, usage errors and a closed pipe."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import PRESETS


def test_every_model_method_and_recipe_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for command, names in [
        ("models", [spec.hub_id for spec in CATALOG]),
        ("methods", [spec.name for spec in METHODS]),
        ("recipes", list(PRESETS)),
    ]:
        assert main([command]) == 0
        output = capsys.readouterr().out
        assert not [name for name in names if name not in output]


def test_no_command_and_an_unknown_command_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["compile"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: pytest-sst2" in capsys.readouterr().err


def test_a_closed_pipe_is_not_an_error() -> None:
    command = f"{sys.executable} -m pytest_sst2.cli.main models | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("model ")
    assert done.stderr == ""
