"""`pytest-sst2 plan`: a table for each kind of cell, before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.compare import plan
from pytest_sst2.results.baselines import save_baseline
from pytest_sst2.results.file import Results
from tests.support.record_factory import answered


@pytest.fixture(autouse=True)
def _few_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(plan, "_RUNS", 20)
    monkeypatch.chdir(tmp_path)


def test_without_a_baseline_the_assumptions_are_stated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--sentences", "100,200", "--seeds", "1"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("tolerance 1 point, α 0.01\n\na probe (assumed: a harmless change flips")
    assert output.count("assumed:") == 2


def test_a_baseline_names_its_cells_and_json_has_every_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [answered([index % 5 != 0 for index in range(200)], seed=seed) for seed in (1, 2, 3)]
    save_baseline(tmp_path / ".sst2" / "main.json", Results(records), overwrite=False)
    assert main(["plan", "main", "--sentences", "200", "--seeds", "1,3", "--tolerance", "2", "--format", "json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["tolerance"] == 0.02
    (cell,) = values["plans"]
    assert cell["name"] == "minilm × linear-probe"
    assert [row["sentences"] for row in cell["rows"]] == [200] * len(cell["rows"])
    assert {"seeds", "found_drop", "held", "seconds"} <= {*cell["rows"][0]}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--sentences", "0"], "'0' is not a whole number of at least 1"),
        (["--seeds", "51"], "51 is more than 50"),
        (["--sentences", "872;5000"], "is not a whole number"),
        (["--tolerance", "x"], "'x' is not a number"),
    ],
)
def test_a_bad_value_is_one_sentence(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", *arguments])
    assert part in capsys.readouterr().err


def test_a_baseline_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "nothing"]) == 2
    assert "no baseline 'nothing'" in capsys.readouterr().err
