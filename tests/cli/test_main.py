"""The console script lists what can be asked for, and compares what was saved."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.config.catalog import CATALOG, METHODS
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.results.baselines import save_baseline
from tests.support.record_factory import answered


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


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    command = f"{sys.executable} -m pytest_sst2.cli.main models | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("model ")
    assert done.stderr == ""


def test_the_cache_is_shown_and_cleared(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path))
    EmbeddingCache(tmp_path, 2**20).put("a" * 64, np.ones((100, 1000), dtype=np.float32))
    assert main(["cache"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 0.4 MB. Remove with: pytest-sst2 cache --clear\n"
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"{tmp_path}: 1 entry removed, 0.4 MB\n"
    assert list(tmp_path.iterdir()) == []


class TestCompare:
    @pytest.fixture(autouse=True)
    def _saved(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Three baselines of one cell: ``main``, a regression from it, and one of other data."""
        whole = answered([True] * 400)
        other = dataclasses.replace(whole, dataset=dataclasses.replace(whole.dataset, name="sst2"))
        saved = {"main": whole, "worse": answered([index >= 20 for index in range(400)]), "sst2": other}
        for name, record in saved.items():
            save_baseline(tmp_path / ".sst2" / f"{name}.json", [record], [], overwrite=False)
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("arguments", "status", "outcome"),
        [
            (["main", "main"], 0, "HOLDS: 1 of 1 unchanged"),
            (["main", "worse"], 1, "FAILS: 1 of 1 regressed"),
            (["worse", "main"], 0, "HOLDS: 1 of 1 improved"),
            (["main", "sst2"], 2, "CANNOT COMPARE: 1 of 1 incomparable"),
            (["main", "worse", "--fail-on", "none"], 0, "HOLDS: 1 of 1 regressed"),
            (["main", "sst2", "--fail-on", "regressed"], 0, "HOLDS: 1 of 1 incomparable"),
            (["main", "worse", "--tolerance", "5"], 0, "HOLDS: 1 of 1 unchanged"),
            (["main", "worse", "--alpha", "1e-9"], 0, "HOLDS: 1 of 1 unchanged"),
        ],
    )
    def test_the_exit_status_is_the_outcome(
        self, arguments: list[str], status: int, outcome: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["compare", *arguments]) == status
        output = capsys.readouterr()
        assert output.out.splitlines()[0] == outcome
        assert output.err == ""

    def test_an_old_word_of_fail_on_still_works_with_a_warning(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "main", "main", "--fail-on", "heavier"]) == 0
        assert capsys.readouterr().err == (
            "pytest-sst2: warning: --fail-on: 'heavier' is deprecated; use 'more-memory'.\n"
        )

    def test_names_are_found_from_folders_below_and_paths_from_here(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "below").mkdir()
        monkeypatch.chdir(tmp_path / "below")
        assert main(["compare", "main", "../.sst2/worse.json"]) == 1
        assert "→ ../.sst2/worse.json;" in capsys.readouterr().out

    def test_markdown_and_json_are_of_the_same_outcome(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["compare", "main", "worse", "--format", "markdown"]) == 1
        assert capsys.readouterr().out.startswith("❌ **FAILS: 1 of 1 regressed**\n")
        assert main(["compare", "main", "worse", "--format", "json"]) == 1
        data = json.loads(capsys.readouterr().out)
        assert (data["exit_status"], data["before"], data["after"]) == (1, "main", "worse")

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["main", "mian"], "no baseline 'mian': it is neither a file nor one of main, sst2, worse. Did you mean"),
            (["nowhere/x.json", "main"], "no baseline 'nowhere/x.json'"),
            (["main", "damaged.json"], "damaged.json is not a results file"),
            (["newer.json", "main"], "newer.json has schema version 5"),
        ],
    )
    def test_what_cannot_be_read_is_one_sentence(
        self, arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "damaged.json").write_text("{", encoding="utf-8")
        (tmp_path / "newer.json").write_text('{"schema_version": 5}', encoding="utf-8")
        assert main(["compare", *arguments]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("pytest-sst2: ")
        assert part in output.err
        assert output.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            (["main"], "required: AFTER"),
            (["main", "main", "--format", "html"], "invalid choice: 'html'"),
            (["main", "main", "--fail-on", "slow"], "Did you mean 'slower'?"),
            (["main", "main", "--tolerance", "-1"], "percentage points"),
            (["main", "main", "--alpha", "2"], "above 0 and below 1"),
        ],
    )
    def test_a_misspelt_command_is_a_usage_error(
        self, arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["compare", *arguments])
        assert caught.value.code == 2
        assert part in capsys.readouterr().err
