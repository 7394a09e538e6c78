"""`pytest-sst2 compare`: the exit status, the formats, and errors in one sentence."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.baselines import load_results, save_baseline
from pytest_sst2.results.file import Results
from tests.support.record_factory import probe


@pytest.fixture(autouse=True)
def _saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three baselines of one cell: ``main``, a regression from it, and one of another seed."""
    whole = probe([True] * 400)
    saved = {
        "main": whole,
        "worse": probe([index >= 20 for index in range(400)]),
        "other": probe([True] * 400, seed=7),
    }
    for name, record in saved.items():
        save_baseline(tmp_path / ".sst2" / f"{name}.json", Results([record]), overwrite=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "status", "outcome"),
    [
        (["main", "main"], 0, "HOLDS: minilm × linear-probe answered every sentence as before"),
        (["main", "worse"], 1, "FAILS: minilm × linear-probe −5.00 points"),
        (["worse", "main"], 0, "HOLDS: minilm × linear-probe +5.00 points"),
        (["main", "other"], 2, "CANNOT COMPARE: minilm × linear-probe: seed 7, was 42"),
        (["main", "worse", "--fail-on", "none"], 0, "FAILS: minilm × linear-probe −5.00 points"),
        (
            ["main", "other", "--fail-on", "regressed"],
            0,
            "CANNOT COMPARE: minilm × linear-probe: seed 7, was 42",
        ),
        (["main", "worse", "--tolerance", "5"], 0, "UNDECIDED: minilm × linear-probe −5.00 points"),
    ],
)
def test_the_exit_status_is_the_outcome(
    arguments: list[str], status: int, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *arguments]) == status
    output = capsys.readouterr()
    assert output.out.startswith(outcome)
    assert output.err == ""


@pytest.mark.parametrize("name", ["clf-v2", "my clf=v2; x"])
def test_the_command_for_an_undeclared_change_can_be_pasted(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (record,) = load_results(tmp_path, tmp_path, "main").records
    recipe = dataclasses.replace(record.recipe, epochs=7)
    save_baseline(
        tmp_path / "a b.json", Results([dataclasses.replace(record, model=name, recipe=recipe)]), overwrite=False
    )
    assert main(["compare", "main", "a b.json"]) == 2
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("undeclared:"))
    program, *words = shlex.split(line[line.index("pytest-sst2 compare") :])
    assert program == "pytest-sst2"
    assert main(words) == 0
    output = capsys.readouterr().out
    assert f"declared: model {name}, was minilm; recipe epochs 7, was 1" in output
    assert "undeclared:" not in output


def test_names_are_found_from_folders_below_and_paths_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert main(["compare", "main", "../.sst2/worse.json"]) == 1
    assert "→ ../.sst2/worse.json;" in capsys.readouterr().out


def test_markdown_and_json_are_of_the_same_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "worse", "--format", "markdown"]) == 1
    assert capsys.readouterr().out.startswith("❌ **FAILS: minilm × linear-probe −5.00 points (at worst −")
    assert main(["compare", "main", "worse", "--format", "json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["exit_status"], data["before"], data["after"]) == (1, "main", "worse")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["main", "mian"], "no baseline 'mian': no such file, and the baselines are main, other, worse. Did you mean"),
        (["nowhere/x.json", "main"], "no baseline 'nowhere/x.json'"),
        (["main", "damaged.json"], "damaged.json is not a results file"),
        (["newer.json", "main"], "newer.json has schema version 99"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(
    arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "damaged.json").write_text("{", encoding="utf-8")
    (tmp_path / "newer.json").write_text('{"schema_version": 99}', encoding="utf-8")
    assert main(["compare", *arguments]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pytest-sst2: ")
    assert part in output.err
    assert output.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "required: BEFORE"),
        (["main", "main", "--format", "html"], "invalid choice: 'html'"),
        (["main", "main", "--fail-on", "slow"], "Did you mean 'slower'?"),
        (["main", "main", "--tolerance", "-1"], "percentage points"),
        (["main", "main", "--alpha", "2"], "above 0 and below 1"),
    ],
)
def test_a_misspelt_command_is_a_usage_error(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compare", *arguments])
    assert caught.value.code == 2
    assert part in capsys.readouterr().err


def test_an_old_word_of_fail_on_still_works_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "main", "main", "--fail-on", "heavier"]) == 0
    assert capsys.readouterr().err == "pytest-sst2: warning: --fail-on: 'heavier' is deprecated; use 'more-memory'.\n"


class TestCellsOfOneRun:
    @pytest.fixture(autouse=True)
    def _two_models(self, tmp_path: Path) -> None:
        records = [probe([True] * 400), probe([index >= 20 for index in range(400)], model="small")]
        save_baseline(tmp_path / "run.json", Results(records), overwrite=False)

    @pytest.mark.parametrize(
        ("arguments", "status"),
        [
            (["--pair", "minilm=small"], 0),
            (["--pair", "minilm"], 0),
            (["--pair", "minilm=small", "--fail-on", "regressed"], 1),
            (["--pair", "small=minilm", "--fail-on", "regressed"], 0),
            (["--pair", "minilm=small", "--fail-on", "slower"], 2),
            (["--pair", "minilm=large"], 2),
            (["--pair", "linear-probe"], 2),
            (["main", "--pair", "minilm=small"], 2),
            ([], 2),
        ],
    )
    def test_a_question_fails_only_if_asked_to(self, arguments: list[str], status: int) -> None:
        assert main(["compare", "run.json", *arguments]) == status

    def test_every_format_has_the_answer(self, capsys: pytest.CaptureFixture[str]) -> None:
        answer = "small × linear-probe is worse than minilm × linear-probe: −5.00 points"
        for form in ("text", "markdown", "json"):
            assert main(["compare", "run.json", "--pair", "minilm=small", "--format", form]) == 0
            assert answer in capsys.readouterr().out

    def test_a_report_has_it_too(self, tmp_path: Path) -> None:
        assert main(["report", "run.json", "--pair", "minilm=small", "-o", "out"]) == 0
        assert "is worse than minilm × linear-probe" in (tmp_path / "out" / "sst2-report.md").read_text("utf-8")
