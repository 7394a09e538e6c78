"""Several processes in one cell: real ranks of torchrun on the loopback device, started as people start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from pytest_sst2.compare.comparison import compare
from pytest_sst2.results.file import Results, results_from_text
from pytest_sst2.results.record import Record
from pytest_sst2.utils.atomic_write import write_atomically
from tests.conftest import BENCHMARK
from tests.support import tiny_models

pytestmark = pytest.mark.processes

SINGLE = (sys.executable, "-m", "pytest")
TWO_RANKS = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "pytest")
# 59 rows in batches of 8: the last has three, two for one rank and one for the other.
OPTIONS = ("--sst2-train-size=59", "--sst2-eval-size=20", "--sst2-epochs=2", "--sst2-batch-size=8")
PATIENCE_SECONDS = 3

CONFTEST = f"""
import os

from pytest_sst2.instruments import machine_speed
from pytest_sst2.methods import process_group as team

machine_speed._REPETITIONS = 1
team.PATIENCE_SECONDS = {PATIENCE_SECONDS}
FAULT, RANK = os.environ.get("FAULT", ""), os.environ.get("RANK")

if FAULT == f"load {{RANK}}":
    from pytest_sst2.models.loader import ModelLoader

    load = ModelLoader.sequence_classifier

    def failing_load(self, spec):
        if spec.name == "dry":
            raise ValueError("no such tensor")
        return load(self, spec)

    ModelLoader.sequence_classifier = failing_load

if FAULT == "none, but look":
    import torch
    from transformers import Trainer

    step = Trainer.training_step

    def seen_step(self, model, inputs, *args):
        with open(f"seen-by-rank-{{RANK}}", "a") as file:
            file.write(f"{{len(inputs['labels'])}} {{torch.initial_seed()}}\\n")
        return step(self, model, inputs, *args)

    Trainer.training_step = seen_step

if FAULT in (f"step {{RANK}}", "step of all"):
    from transformers import Trainer

    step = Trainer.training_step

    def failing_step(self, *args):
        if self.state.global_step == 3 and self.model.config.hidden_dropout_prob == 0:
            raise RuntimeError("out of memory")
        return step(self, *args)

    Trainer.training_step = failing_step


def pytest_collection_modifyitems(items):
    if FAULT == f"order {{RANK}}":
        items.reverse()
"""
UNRELATED = """
import os
from pathlib import Path

def test_unrelated():
    Path(f"ran-in-rank-{os.environ['RANK']}").touch()
"""


@dataclass(frozen=True)
class Run:
    status: int
    out: str
    err: str
    folder: Path

    def records(self, name: str = "run.json") -> dict[str, Record]:
        found = results_from_text((self.folder / name).read_text(encoding="utf-8"), name)
        return {record.cell: record for record in found.records}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a benchmark and two models: one without dropout, which leaves nothing to chance, and one with."""
    folder = tmp_path_factory.mktemp("project")
    dry = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    tiny_models.write_encoder(folder / "dry", **dry)
    tiny_models.write_encoder(folder / "wet")
    (folder / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (folder / "test_bench.py").write_text(BENCHMARK, encoding="utf-8")
    (folder / "test_unrelated.py").write_text(UNRELATED, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nsst2_learning_rate = 0.003\n", encoding="utf-8")
    return folder


def run(folder: Path, start: tuple[str, ...], *arguments: str, data: Path | None = None, fault: str = "") -> Run:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FAULT": fault, "COLUMNS": "160"}
    environment.pop("TOX_ENV_DIR", None)  # where pytest would put its cache
    options = [f"--sst2-data={data}", *OPTIONS] if data else []
    done = subprocess.run(
        [*start, *options, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Run(done.returncode, done.stdout, done.stderr, folder)


@pytest.fixture(scope="module")
def alone(folder: Path, tiny_data: Path) -> Run:
    """One process."""
    asked = ("test_bench.py", "--methods=fine-tune", "--models=./dry", "--sst2-json=alone.json")
    return run(folder, SINGLE, *asked, data=tiny_data)


@pytest.fixture(scope="module")
def together(folder: Path, tiny_data: Path) -> Run:
    """Two ranks, with all the files that pytest and we can be asked for."""
    files = ("--sst2-json=run.json", "--sst2-save=two", "--junitxml=junit.xml", "--benchmark-json=benchmark.json")
    asked = ("--methods=fine-tune,majority", "--models=./dry,./wet", *files)
    return run(folder, TWO_RANKS, *asked, data=tiny_data, fault="none, but look")


def only(found: dict[str, Record]) -> Record:
    (record,) = found.values()
    return record


class TestOneModel:
    def test_two_ranks_train_what_one_process_trains(self, alone: Run, together: Run) -> None:
        assert alone.status == together.status == 0, together.err
        one, two = only(alone.records("alone.json")), together.records()["dry-fine-tune-seed42"]
        assert one.fingerprint is not None
        assert two.fingerprint is not None
        old, new = one.fingerprint.training, two.fingerprint.training
        assert old is not None
        assert new is not None
        # Eight steps an epoch, with the same rows in the same order, at the same rates, to the same place.
        assert new.steps == old.steps == 16
        assert (new.order, new.learning_rate, new.mean_learning_rate) == (
            old.order,
            old.learning_rate,
            old.mean_learning_rate,
        )
        assert new.first_gradient_norm == pytest.approx(old.first_gradient_norm, rel=1e-4)
        for before, after in zip(one.epochs, two.epochs, strict=True):
            assert after.train_loss == pytest.approx(before.train_loss, abs=1e-4)
        np.testing.assert_allclose(two.probabilities, one.probabilities, atol=1e-3)
        # What is learnt is far more than that noise.
        assert one.epochs[-1].train_loss < one.epochs[0].train_loss - 0.003

    def test_what_differs_is_how_many_trained_it_and_no_time_is_compared(self, alone: Run, together: Run) -> None:
        before, after = alone.records("alone.json"), together.records()
        cell = "dry-fine-tune-seed42"
        found = compare(
            Results(tuple(before.values()), (), origin="alone"),
            Results((after[cell],), (), origin="together"),
            tolerance=0.005,
            alpha=0.01,
        )
        (changed,) = found.cells
        assert changed.verdict == "unchanged"
        assert changed.causes == ("trained by 2 processes, was 1: other dropout masks",)
        assert changed.costs.notes == ("times not compared: 2 processes trained it, was 1",)

    def test_each_rank_is_given_its_share_and_drops_other_activations(self, together: Run) -> None:
        seen = [(together.folder / f"seen-by-rank-{rank}").read_text(encoding="utf-8").split() for rank in (0, 1)]
        rows = [[int(count) for count in each[::2]] for each in seen]
        # Two models, two epochs, 59 rows each.
        assert [sorted(each) for each in rows] == [[2] * 4 + [4] * 28, [1] * 4 + [4] * 28]
        assert set(seen[0][1::2]).isdisjoint(seen[1][1::2])

    def test_a_record_says_how_many_trained_it(self, together: Run) -> None:
        trained, counted = (together.records()[cell] for cell in ("wet-fine-tune-seed42", "majority-seed42"))
        assert (trained.placement.executor, trained.placement.worker) == ("torchrun", "rank 0")
        assert (trained.placement.processes, trained.settings["per_device_train_batch_size"]) == (2, 4)
        # The first rank does alone what is not trained in steps.
        assert counted.placement.processes == 1


class TestRankZeroReports:
    def test_one_rank_prints(self, together: Run) -> None:
        assert together.out.count("test session starts") == 1
        assert together.out.count("= SST-2 benchmark =") == 1
        assert "4 passed" in together.out
        assert "skipped" not in together.out
        assert "no benchmarks have been run" not in together.err

    def test_one_rank_writes(self, together: Run) -> None:
        assert len(together.records()) == 3
        suite = ElementTree.parse(together.folder / "junit.xml").getroot()[0]
        assert (suite.get("tests"), suite.get("skipped")) == ("4", "0")
        benchmarks = json.loads((together.folder / "benchmark.json").read_text(encoding="utf-8"))["benchmarks"]
        assert len(benchmarks) == 3
        assert (together.folder / ".sst2" / "two.json").is_file()
        cached = together.folder / ".pytest_cache/v/cache/nodeids"
        assert cached.is_file(), together.out + together.err
        nodeids = json.loads(cached.read_text(encoding="utf-8"))
        assert "test_unrelated.py::test_unrelated" in nodeids

    def test_other_tests_run_in_rank_zero_alone(self, together: Run) -> None:
        assert [path.name for path in together.folder.glob("ran-in-rank-*")] == ["ran-in-rank-0"]

    def test_without_a_benchmark_every_rank_runs_its_tests_and_says_so(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        (tmp_path / "test_unrelated.py").write_text(UNRELATED, encoding="utf-8")
        done = run(tmp_path, TWO_RANKS)
        assert done.status == 0
        assert (done.out.count("test session starts"), done.out.count("1 passed")) == (2, 2)
        assert len(list(tmp_path.glob("ran-in-rank-*"))) == 2


def test_what_an_earlier_run_has_measured_is_taken_by_all_ranks(together: Run, tiny_data: Path) -> None:
    text = (together.folder / "run.json").read_text(encoding="utf-8")
    write_atomically(together.folder / "resumed.json", text)
    asked = ("--methods=fine-tune", "--models=./dry,./wet", "--sst2-seeds=42,43", "--sst2-resume=resumed.json")
    done = run(together.folder, TWO_RANKS, "test_bench.py", *asked, "--sst2-exclusive", data=tiny_data)
    assert done.status == 0, done.err
    assert "2 of 4 cells taken from resumed.json" in done.out
    again = done.records("resumed.json")
    assert again["dry-fine-tune-seed43"].placement.processes == 2
    assert again["dry-fine-tune-seed42"].placement == together.records()["dry-fine-tune-seed42"].placement


class TestFailures:
    ASKED = ("test_bench.py", "--methods=fine-tune", "--models=./dry,./wet", "--sst2-json=failed.json")

    def test_a_model_that_one_rank_cannot_load_fails_its_cell_and_no_other(self, folder: Path, tiny_data: Path) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, data=tiny_data, fault="load 1")
        assert done.status != 0
        assert "dry-fine-tune-seed42: rank 1 of 2 failed: ValueError: no such tensor" in done.out
        assert "1 failed, 1 passed" in done.out
        assert "[rank 1] ValueError: no such tensor" in done.err
        assert list(done.records("failed.json")) == ["wet-fine-tune-seed42"]

    def test_a_training_that_fails_in_all_ranks_fails_its_cell_and_no_other(
        self, folder: Path, tiny_data: Path
    ) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, data=tiny_data, fault="step of all")
        assert "RuntimeError: out of memory" in done.out
        assert "1 failed, 1 passed" in done.out
        assert list(done.records("failed.json")) == ["wet-fine-tune-seed42"]

    def test_a_training_that_fails_in_one_rank_ends_the_run(self, folder: Path, tiny_data: Path) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, data=tiny_data, fault="step 1")
        assert done.status != 0
        assert "[rank 1] E           RuntimeError: out of memory" in done.err

    def test_a_training_that_fails_in_rank_zero_ends_the_run_with_a_sentence(
        self, folder: Path, tiny_data: Path
    ) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, data=tiny_data, fault="step 0")
        assert done.status != 0
        assert "rank 0 failed in dry-fine-tune-seed42 and the other ranks did not" in done.out
        assert "1 cell did not run: wet-fine-tune-seed42" in done.out
        assert "RuntimeError: out of memory" in done.out

    def test_ranks_with_their_tests_in_another_order_do_not_wait_for_each_other(
        self, folder: Path, tiny_data: Path
    ) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, data=tiny_data, fault="order 1")
        assert done.status != 0
        assert "which is not the next cell here" in done.err

    def test_a_batch_that_cannot_be_shared_out_is_refused_before_anything_is_loaded(
        self, folder: Path, tiny_data: Path
    ) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, "--sst2-batch-size=7", data=tiny_data)
        assert done.status != 0
        assert done.err.count("--sst2-batch-size 7 cannot be shared out evenly among 2 processes") == 1
        assert "--sst2-batch-size 8" in done.err

    def test_pytest_xdist_is_refused(self, folder: Path, tiny_data: Path) -> None:
        done = run(folder, TWO_RANKS, *self.ASKED, "-n", "2", data=tiny_data)
        assert done.status != 0
        assert "pytest-xdist (-n) cannot be used in the 2 processes of torchrun" in done.err
