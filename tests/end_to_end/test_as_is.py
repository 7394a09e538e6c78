"""``--methods as-is``: checkpoints that are already trained, and those that are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from tests.conftest import results
from tests.support.tiny_models import write_encoder

BENCHMARK = "def test_cell(sst2_run):\n    sst2_run.measure()\n"


@pytest.fixture
def trained(project: pytest.Pytester) -> Path:
    """A checkpoint with a head, in a project with a benchmark of every method."""
    from transformers import AutoModelForSequenceClassification

    project.makepyfile(test_bench=BENCHMARK)
    folder = write_encoder(project.path / "clf")
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2).save_pretrained(folder)
    return folder


def test_a_checkpoint_has_one_record_whatever_the_seeds(project: pytest.Pytester, trained: Path) -> None:
    asked = ("--models=./clf", "--methods=as-is,linear-probe", "--sst2-seeds=1,2,3", "--sst2-against=as-is")
    run = project.runpytest(*asked, "--sst2-json=run.json", "--sst2-save=main")
    assert run.ret == 0
    cells = [record["cell"] for record in results(project.path / "run.json")["records"]]
    assert cells == ["clf-as-is-seed1", *(f"clf-linear-probe-seed{seed}" for seed in (1, 2, 3))]
    # The one record is the other side of all three seeds.
    run.stdout.fnmatch_lines(["clf × linear-probe  clf × as-is  1,2,3  *"])
    assert project.runpytest(*asked, "--sst2-compare=main").ret == 0


def test_a_checkpoint_without_a_head_is_refused_before_the_first_cell(project: pytest.Pytester, trained: Path) -> None:
    plain = write_encoder(project.path / "plain")
    run = project.runpytest("--models=./clf,./plain", "--methods=as-is,tfidf")
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    run.stderr.fnmatch_lines([f"ERROR: model 'plain': the checkpoint in {plain} has no trained classification head: *"])
    run = project.runpytest("--models=./clf,./plain", "--methods=as-is,tfidf", "-k", "not plain")
    assert run.ret == 0


def test_it_runs_only_if_it_is_named(project: pytest.Pytester, trained: Path) -> None:
    run = project.runpytest("--models=./clf", "--collect-only", "-q")
    assert "fine-tune" in str(run.stdout)
    assert "as-is" not in str(run.stdout)


def test_the_list_of_methods_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    assert "as-is" in capsys.readouterr().out
