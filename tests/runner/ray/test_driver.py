"""Cells on Ray: the same records as without Ray, retries after the loss of a node, and no work left behind."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from pytest_sst2 import __version__
from pytest_sst2.config.catalog import METHODS
from pytest_sst2.config.specs import Cell, ModelSpec
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Placement
from pytest_sst2.runner.ray import worker as node
from pytest_sst2.runner.ray.connection import loss_reason
from pytest_sst2.runner.ray.driver import ATTEMPTS, RayExecutor
from pytest_sst2.runner.ray.resources import Capacity, MemoryEstimate, Needs
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results
from tests.support.record_factory import make_record

ray = pytest.importorskip("ray", reason="needs the extra 'ray'")

MB = 2**20
CELL = Cell(None, METHODS[-1], 42)
# A method of a conftest that no node can import. Files control it, because nodes are other processes.
SLOW = """
import os
import signal
import time
from pathlib import Path

import numpy as np
from pytest_sst2 import MethodSpec

HERE = Path(__file__).parent

def flag(name):
    return (HERE / name).exists()

def slow(job):
    began = HERE / f"began-{job.seed}"
    again = began.exists()
    began.write_text(str(os.getpid()))
    if flag(f"die-{job.seed}") or (flag(f"die-once-{job.seed}") and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    if flag(f"raise-{job.seed}"):
        raise ValueError("by itself")
    while flag(f"wait-{job.seed}") and not again:
        (HERE / f"alive-{job.seed}").touch()
        time.sleep(0.05)
    return lambda sentences: np.linspace(0, 1, len(sentences) + job.seed)[:len(sentences)]

def pytest_sst2_methods():
    return [MethodSpec("slow", slow, needs_model=False)]
"""
BENCHMARK = """
import pytest

@pytest.mark.sst2
def test_cell(sst2_run):
    sst2_run.assert_reaches_floor(sst2_run.measure())
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes of one core each; the second can be killed."""
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=room)
    made.second = made.add_node(num_cpus=1, object_store_memory=100 * 2**20)
    yield made
    made.shutdown()


@pytest.fixture
def benchmarks(project: pytest.Pytester) -> pytest.Pytester:
    project.makepyfile(test_bench=BENCHMARK)
    project.makeconftest(SLOW)
    return project


def on(cluster: Any) -> tuple[str, ...]:
    return ("--sst2-executor", "ray", f"--sst2-ray-address={cluster.address}")


def accuracies(path: Path) -> dict[str, tuple[float, list[float]]]:
    return {each["cell"]: (each["accuracy"], each["probabilities"]) for each in results(path)["records"]}


def until(happened: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let child processes receive Ctrl-C: a shell's background jobs and their children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class TestRun:
    @pytest.mark.processes
    def test_cells_measured_by_ray_are_those_measured_here_and_are_gathered_alike(
        self, benchmarks: pytest.Pytester, cluster: Any
    ) -> None:
        (benchmarks.path / "raise-3").touch()
        options = (
            *("--methods", "slow,linear-probe,tfidf", "--sst2-seeds", "1,2,3", "--sst2-metrics", "f1"),
            *("--sst2-min-accuracy", "0.5", "-k", "not seed2", "-q"),
        )
        here = benchmarks.runpytest(*options, "--sst2-json", "here.json")
        there = benchmarks.runpytest(*options, "--sst2-json", "there.json", *on(cluster))
        for run in (here, there):
            assert run.parseoutcomes()["failed"] >= 1
            run.stdout.fnmatch_lines(["*ValueError: by itself*"])
        assert there.parseoutcomes() == here.parseoutcomes()
        assert accuracies(benchmarks.path / "there.json") == accuracies(benchmarks.path / "here.json")
        data = results(benchmarks.path / "there.json")
        assert [each["cell"] for each in data["records"]] == [cell for cell in data["planned"] if cell != "slow-seed3"]
        (failure,) = data["failures"]
        assert (failure["cell"], failure["error"]) == ("slow-seed3", "ValueError: by itself")
        for record in data["records"]:
            assert record["metrics"].keys() == {"f1"}
            assert record["floor"]["accuracy"] == 0.5
            assert record["environment"]["threads"] == 1
            assert record["placement"]["executor"] == "ray"
            assert record["placement"]["node"]
            assert record["placement"]["finished"] >= record["placement"]["started"]
        there.stdout.no_fnmatch_line("*Benchmark fixture was not used*")

    @pytest.mark.processes
    def test_what_an_earlier_run_has_measured_is_not_submitted_again(
        self, benchmarks: pytest.Pytester, cluster: Any
    ) -> None:
        options = ("--methods", "slow", "--sst2-resume", "run.json", *on(cluster))
        assert benchmarks.runpytest(*options, "--sst2-seeds", "1").ret == 0
        (benchmarks.path / "began-1").unlink()
        again = benchmarks.runpytest(*options, "--sst2-seeds", "1,2")
        assert again.ret == 0
        again.stdout.fnmatch_lines(["1 of 2 cells taken from run.json"])
        assert not (benchmarks.path / "began-1").exists()
        assert len(results(benchmarks.path / "run.json")["records"]) == 2


@pytest.mark.processes
class TestLoss:
    def test_a_cell_whose_process_died_is_tried_again_and_says_so(
        self, benchmarks: pytest.Pytester, cluster: Any
    ) -> None:
        (benchmarks.path / "die-once-1").touch()
        (benchmarks.path / "die-2").touch()
        run = benchmarks.runpytest("--methods", "slow", "--sst2-seeds", "1,2,3", "--sst2-json", "r.json", *on(cluster))
        run.assert_outcomes(passed=2, failed=1)
        data = results(benchmarks.path / "r.json")
        first, third = data["records"]
        assert first["placement"]["attempt"] == 2
        assert "measured at attempt 2: its process died" in first["warnings"]
        assert third["placement"]["attempt"] == 1
        died = ", then ".join(["its process died"] * ATTEMPTS)
        assert [each["error"] for each in data["failures"]] == [f"it was tried {ATTEMPTS} times: {died}"]

    def test_a_node_that_is_killed_costs_no_cell(self, benchmarks: pytest.Pytester, cluster: Any) -> None:
        seeds = range(1, 5)
        for seed in seeds:
            (benchmarks.path / f"wait-{seed}").touch()

        def kill_the_second_node() -> None:
            try:
                until(lambda: len(list(benchmarks.path.glob("began-*"))) == 2)
                cluster.remove_node(cluster.second, allow_graceful=False)
            finally:  # otherwise the run would wait without end
                for seed in seeds:
                    (benchmarks.path / f"wait-{seed}").unlink()

        killer = threading.Thread(target=kill_the_second_node)
        killer.start()
        options = ("--methods", "slow", "--sst2-seeds", "1,2,3,4", "--sst2-json", "r.json")
        run = benchmarks.runpytest(*options, *on(cluster))
        killer.join()
        cluster.second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        run.assert_outcomes(passed=4)
        run.stdout.re_match_lines([r"warning: measured at attempt 2: node [0-9a-f]{8} was lost \(slow seed \d\)"])
        records = results(benchmarks.path / "r.json")["records"]
        assert sorted(each["placement"]["attempt"] for each in records) == [1, 1, 1, 2]

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_a_run_that_is_broken_off_leaves_its_records_and_no_work_behind(
        self, number: signal.Signals, benchmarks: pytest.Pytester, cluster: Any
    ) -> None:
        (benchmarks.path / "wait-1").touch()
        alive, written = benchmarks.path / "alive-1", benchmarks.path / "r.json"
        options = ("--methods", "slow", "--sst2-seeds", "1,2,3", "--sst2-json", "r.json", *on(cluster))
        command = [sys.executable, "-m", "pytest", *options]
        with interruptible(), subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            try:
                # The first test waits for its cell, which has begun. The other cells are finished and written.
                until(lambda: alive.exists() and written.exists() and len(accuracies(written)) == 2)
                run.send_signal(number)
                run.wait(300)
            finally:
                run.kill()
        assert run.returncode in (pytest.ExitCode.INTERRUPTED, -signal.SIGKILL)
        assert accuracies(written).keys() == {"slow-seed2", "slow-seed3"}
        until(lambda: time.time() - alive.stat().st_mtime > 2)
        (benchmarks.path / "wait-1").unlink()
        again = benchmarks.runpytest("--methods", "slow", "--sst2-seeds", "1,2,3", "--sst2-resume", "r.json")
        assert again.ret == 0
        assert len(accuracies(written)) == 3


@pytest.mark.processes
def test_a_cluster_of_its_own_writes_nothing_into_the_home_folder(
    benchmarks: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name)
    home = benchmarks.path / "home"
    home.touch()  # a file, so not even root can write into it
    monkeypatch.setenv("HOME", str(home))
    options = ("--methods", "slow", "--sst2-executor", "ray", "--sst2-json", "r.json")
    subprocess.run([sys.executable, "-m", "pytest", *options], check=True, timeout=600)
    assert accuracies(benchmarks.path / "r.json").keys() == {"slow-seed42"}


class TestRefused:
    def refusal(self, project: pytest.Pytester, *arguments: str) -> str:
        run = project.runpytest("--methods", "majority", *arguments)
        assert run.ret == pytest.ExitCode.USAGE_ERROR
        assert "SST-2 benchmark" not in str(run.stdout)
        (line,) = [line for line in str(run.stderr).splitlines() if line.startswith("ERROR")]
        return line

    @pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "[::1]:9"])
    def test_an_address_without_a_server_is_reported_within_seconds(
        self, address: str, project: pytest.Pytester
    ) -> None:
        began = time.monotonic()
        message = self.refusal(project, "--sst2-executor", "ray", f"--sst2-ray-address={address}")
        assert time.monotonic() - began < 15
        assert message.startswith(f"ERROR: no Ray cluster at {address}: ")
        assert "`ray start --head`" in message

    def test_a_word_that_is_no_address(self, project: pytest.Pytester) -> None:
        message = self.refusal(project, "--sst2-executor", "ray", "--sst2-ray-address=nonsense")
        assert "no Ray cluster at nonsense: Invalid address format: nonsense." in message

    def test_more_cores_than_any_node_has(self, project: pytest.Pytester, cluster: Any) -> None:
        message = self.refusal(project, *on(cluster), "--sst2-ray-cpus", "3")
        assert "majority seed 42 needs 3 cores and 0 GPUs of one node" in message
        assert "Lower --sst2-ray-cpus" in message

    def test_an_address_alone(self, project: pytest.Pytester) -> None:
        assert "--sst2-ray-address needs --sst2-executor ray" in self.refusal(project, "--sst2-ray-address=auto")

    def test_pytest_xdist_with_ray_is_refused(self, project: pytest.Pytester) -> None:
        assert "pytest-xdist's -n both distribute" in self.refusal(project, "--sst2-executor", "ray", "-n", "2")

    def test_without_ray(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        find = __import__("importlib.util").util.find_spec
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else find(name))
        assert "python -m pip install 'ray[client]>=" in self.refusal(project, "--sst2-executor", "ray")


class TestCapacity:
    NODES = (
        {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8e9}},
        {"Alive": True, "Resources": {"CPU": 2.0, "memory": 4e9, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "memory": 9e11, "GPU": 8.0}},
    )

    def test_dead_nodes_do_not_count(self) -> None:
        assert Capacity(self.NODES).gpus == 1

    def test_a_cell_that_is_thought_to_need_more_memory_than_there_is_gets_the_largest_node(self) -> None:
        assert [Capacity(self.NODES).limit_memory(each, 1, 0) for each in (10**9, 10**11)] == [10**9, 8 * 10**9]
        assert Capacity(self.NODES).limit_memory(10**11, 1, 1) == 4 * 10**9

    def test_cores_and_gpus_have_to_be_of_one_node(self) -> None:
        capacity = Capacity(self.NODES)
        for fits in (Needs(4, 0, 0), Needs(2, 1, 0)):
            capacity.check(fits, CELL)
        for lacks in (Needs(5, 0, 0), Needs(4, 1, 0), Needs(1, 2, 0)):
            with pytest.raises(Sst2Error, match=r"needs . cores and . GPUs .*4 cores, 0 GPUs; 2 cores, 1 GPUs"):
                capacity.check(lacks, CELL)


class TestNeeds:
    """Resources of cells on a described cluster, because the tests have no GPU."""

    MODEL = ModelSpec("tiny", folder=Path("tiny"))
    METHOD: ClassVar = {method.name: method for method in METHODS}

    def needs(self, cell: Cell, baseline: Results | None = None, **changed: Any) -> tuple[Needs, str]:
        settings = SimpleNamespace(**{"device": "auto", "ray_cpus": 2, **changed})
        loader = SimpleNamespace(locate=lambda _: SimpleNamespace(size_bytes=100 * MB))
        cluster = RayExecutor.__new__(RayExecutor)
        cluster._settings, cluster._cpus = settings, settings.ray_cpus  # type: ignore[assignment]
        cluster._context = SimpleNamespace(settings=settings, loader=loader)  # type: ignore[assignment]
        cluster._estimate_memory = MemoryEstimate(baseline.records if baseline else ())
        cluster._capacity = Capacity(TestCapacity.NODES)
        return cluster._needs(cell), cluster.device_of(cell)

    def test_a_cell_with_a_model_has_a_gpu_of_its_own_where_the_cluster_has_some(self) -> None:
        trained = Cell(self.MODEL, self.METHOD["fine-tune"], 42)
        assert self.needs(trained) == (Needs(2, 1, 1000 * MB), "cuda")
        assert self.needs(trained, device="cpu") == (Needs(2, 0, 1500 * MB), "cpu")

    def test_one_without_takes_none_from_it_whatever_was_asked_for(self) -> None:
        words = Cell(None, self.METHOD["tfidf"], 42)
        for device in ("auto", "cuda", "cpu"):
            assert self.needs(words, device=device) == (Needs(2, 0, 900 * MB), "cpu")

    def test_a_frozen_encoder_needs_its_weights_once(self) -> None:
        assert self.needs(Cell(self.MODEL, self.METHOD["linear-probe"], 42), device="cpu")[0].memory_bytes == 1000 * MB

    def test_what_a_cell_took_before_is_better_than_a_guess(self) -> None:
        before = make_record(model="tiny", method="fine-tune", cell="tiny-fine-tune-seed1", seed=1)
        cell = Cell(self.MODEL, self.METHOD["fine-tune"], 42)
        assert self.needs(cell, Results([before], []), device="cpu")[0].memory_bytes == before.peak_bytes


class TestNode:
    def test_another_version_of_this_package_is_refused(self) -> None:
        order = node.RunPayload("0.0.1", None, None, {}, 1)  # type: ignore[arg-type]
        answer = node.measure("run", lambda: order, CELL, "cpu", Placement(), lambda _: b"")
        assert answer["error"].startswith(f"pytest-sst2 is {__version__} on node ")
        assert "0.0.1 where the run was started" in answer["error"]

    def test_an_error_of_a_method_is_no_loss(self) -> None:
        assert loss_reason(ValueError("by itself")) == ""
        assert loss_reason(ray.exceptions.NodeDiedError("dead. Node IP: 1.2.3.4, node ID: 0123456789ab.")) == (
            "node 01234567 was lost"
        )
