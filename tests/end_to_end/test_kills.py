"""Kills: SIGKILL at random moments loses no finished cell, leaves whole files, and a resumed run finishes the rest.

``SST2_KILLS=20 pytest tests/end_to_end/test_kills.py -s`` kills each kind of process at twenty moments and prints what
came of it; docs/scale.md has the figures.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.results.file import results_from_text

pytestmark = pytest.mark.processes
KILLS = int(os.environ.get("SST2_KILLS", "1"))
SEEDS = range(1, 13)
CELLS = [f"steady-seed{seed}" for seed in SEEDS]
# A method that takes a moment and gives every seed answers of its own; and a log of what was finished, by the process
# that gathers it, when everybody else has had the report.
CONFTEST = """
import os
import time
from pathlib import Path

import numpy as np
import pytest
from pytest_sst2 import MethodSpec

HERE = Path(__file__).parent

def append(name, text):
    with open(HERE / name, "a") as file:
        file.write(text + "\\n")

def steady(job):
    append("pids", str(os.getpid()))
    time.sleep(0.2)
    return lambda sentences: np.random.default_rng(job.seed).random(len(sentences))

def pytest_sst2_methods():
    return [MethodSpec("steady", steady, needs_model=False)]

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if hasattr(report, "sst2_record") and not os.environ.get("PYTEST_XDIST_WORKER"):
        append("finished", report.sst2_record["cell"])
"""
BENCHMARK = """
import pytest

@pytest.mark.sst2
def test_cell(sst2_run):
    sst2_run.measure()
"""


class Project:
    """A project whose runs are killed; each run has a folder of its own.

    Args:
        folder: Where those are made.
        data: The data set.
    """

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder = folder
        self.data = data
        self.path = folder
        self.runs = 0
        self.begin()
        began = time.monotonic()
        assert self.run().wait(600) == 0
        self.seconds = time.monotonic() - began
        self.accuracies = self.measured()

    def begin(self) -> None:
        """Begin in a new folder."""
        self.runs += 1
        self.path = self.folder / f"run-{self.runs}"
        self.path.mkdir()
        (self.path / "conftest.py").write_text(CONFTEST)
        (self.path / "test_bench.py").write_text(BENCHMARK)
        (self.path / "pytest.ini").write_text("[pytest]\n")

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pytest, which goes on with what the file has."""
        asked = (f"--sst2-data={self.data}", "--sst2-train-size=60", "--methods=steady", "--sst2-resume=r.json")
        seeds = f"--sst2-seeds={','.join(map(str, SEEDS))}"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked, seeds, *arguments]
        with (self.path / "output").open("a") as output:
            return subprocess.Popen(command, cwd=self.path, stdout=output, stderr=subprocess.STDOUT, text=True)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a log, of which a kill may have cut the last."""
        path = self.path / name
        return path.read_text().splitlines() if path.exists() else []

    def measured(self) -> dict[str, float]:
        """Return the accuracies in the results file, which any reader can read; none where no cell was finished."""
        path = self.path / "r.json"
        if not path.exists():
            return {}
        text = path.read_text(encoding="utf-8")
        json.loads(text)
        return {record.cell: record.accuracy for record in results_from_text(text, "r.json").records}

    def check(self, *arguments: str) -> tuple[int, int]:
        """Check what a kill left, and go on; return how many cells were finished by then, and how many stand there."""
        finished, kept = self.lines("finished"), self.measured()
        assert set(finished) <= kept.keys()
        assert kept.items() <= self.accuracies.items()
        assert not list(self.path.glob("r.json.*")), "nothing was put aside"
        assert self.run(*arguments).wait(600) == 0, (self.path / "output").read_text()
        assert self.measured() == self.accuracies
        taken = f"{len(kept)} of {len(CELLS)} cells taken from r.json"
        # Of a file that was not there yet nothing is said.
        assert taken in (self.path / "output").read_text() or not kept
        return len(finished), len(kept)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> Project:
    return Project(tmp_path_factory.mktemp("kills"), tiny_data)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    pytest.importorskip("ray", reason="needs the extra 'ray'")
    from ray.cluster_utils import Cluster

    room = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
    made = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
    made.second = made.add_node(**room)
    yield made
    made.shutdown()


def moments(kind: str, earliest: float, latest: float) -> list[float]:
    """Return when to kill: seconds after the start of a run."""
    chance = random.Random(kind)
    return sorted(chance.uniform(earliest, latest) for _ in range(KILLS))


def tell(kind: str, came: list[str]) -> None:
    print(f"\n{kind}: {len(came)} kills; {'; '.join(came)}")


def wait_for(happened: Callable[[], bool], seconds: float = 300.0) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_who_gathers(killed: Project, kind: str, arguments: tuple[str, ...], earliest: float, latest: float) -> None:
    """Kill the process that pytest was started as, at each moment, and check what it left."""
    came = []
    for moment in moments(kind, earliest, latest):
        killed.begin()
        run = killed.run(*arguments)
        time.sleep(moment)
        run.kill()
        run.wait(300)
        finished, kept = killed.check(*arguments)
        came.append(f"{moment:.1f} s: {finished} finished, {kept} kept")
    tell(kind, came)


@pytest.mark.parametrize(("kind", "arguments"), [("controller", ()), ("controller, -n 2", ("-n", "2"))])
def test_the_process_that_gathers_is_killed(kind: str, arguments: tuple[str, ...], killed: Project) -> None:
    kill_who_gathers(killed, kind, arguments, 0.3, 1.1 * killed.seconds)


def test_a_worker_is_killed(killed: Project) -> None:
    came = []
    for moment in moments("worker", 0.0, 1.2):
        killed.begin()
        run = killed.run("-n", "2")
        wait_for(lambda: bool(killed.lines("pids")))
        time.sleep(moment)
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(killed.lines("pids")[-1]), signal.SIGKILL)
        status = run.wait(600)
        lost = [cell for cell in CELLS if cell not in killed.measured()]
        data = json.loads((killed.path / "r.json").read_text(encoding="utf-8"))
        assert [failure["cell"] for failure in data["failures"]] == lost
        assert len(lost) <= 1
        assert status == (1 if lost else 0)
        killed.check("-n", "2")
        came.append(f"{moment:.1f} s: {len(lost)} lost")
    tell("worker", came)


def test_the_process_that_waits_for_a_cluster_is_killed(killed: Project, cluster: Any) -> None:
    on_ray = ("--sst2-executor=ray", f"--sst2-ray-address={cluster.address}")
    kill_who_gathers(killed, "driver", on_ray, 0.5, 14.0)


def test_a_node_of_a_cluster_is_killed(killed: Project, cluster: Any) -> None:
    came, tried_again = [], 0
    for moment in moments("node", 0.0, 3.0):
        killed.begin()
        run = killed.run("--sst2-executor=ray", f"--sst2-ray-address={cluster.address}")
        wait_for(lambda: bool(killed.lines("pids")))
        time.sleep(moment)
        cluster.remove_node(cluster.second, allow_graceful=False)
        status = run.wait(600)
        cluster.second = cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        assert status == 0, (killed.path / "output").read_text()
        assert killed.measured() == killed.accuracies
        records = json.loads((killed.path / "r.json").read_text(encoding="utf-8"))["records"]
        again = [each for each in records if each["placement"]["attempt"] > 1]
        tried_again += len(again)
        assert all(any("measured at attempt 2: " in text for text in each["warnings"]) for each in again)
        came.append(f"{moment:.1f} s: {len(again)} tried again")
    # At a single moment the node may have had nothing in hand.
    assert tried_again or KILLS < 10
    tell("node of Ray", came)


# ``shaky`` answers otherwise than in the baseline, another way for every seed; ``same`` answers as ever.
SEQUENTIAL = """
import os
import time
from pathlib import Path

import numpy as np
from pytest_sst2 import MethodSpec

HERE = Path(__file__).parent

def trained(name):
    def train(job):
        later = name == "shaky" and not os.environ.get("SST2_TEST_EARLIER")
        time.sleep(0.0 if os.environ.get("SST2_TEST_EARLIER") else 0.1)
        with open(HERE / "trained", "a") as file:
            file.write(f"{name} {job.seed}\\n")
        return lambda sentences: np.random.default_rng((job.seed, later)).random(len(sentences))
    return train

def pytest_sst2_methods():
    return [MethodSpec(name, trained(name), needs_model=False) for name in ("same", "shaky")]
"""


class SequentialProject(Project):
    """A project whose runs stop a cell when it is decided."""

    def begin(self) -> None:
        """Begin in a new folder with the baseline, which the first one saves."""
        super().begin()
        (self.path / "conftest.py").write_text(SEQUENTIAL)
        if self.runs == 1:
            environment = {**os.environ, "SST2_TEST_EARLIER": "1"}
            with (self.path / "output").open("a") as output:
                subprocess.run(
                    [*self.command, "--sst2-save=main"], cwd=self.path, stdout=output, check=True, env=environment
                )
            (self.path / "trained").unlink()
        else:
            shutil.copytree(self.folder / "run-1" / ".sst2", self.path / ".sst2")

    @property
    def command(self) -> list[str]:
        options = (f"--sst2-data={self.data}", "--sst2-train-size=60", "--methods=same,shaky", "--sst2-seeds=auto")
        return [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]

    def run(self, *arguments: str) -> subprocess.Popen[str]:
        """Start pytest, which goes on with what the file has."""
        command = [*self.command, "--sst2-compare=main", "--sst2-resume=r.json", *arguments]
        with (self.path / "output").open("a") as output:
            return subprocess.Popen(command, cwd=self.path, stdout=output, stderr=subprocess.STDOUT, text=True)

    def looks(self) -> list[dict[str, Any]]:
        """Return the looks in the results file."""
        path = self.path / "r.json"
        looks: list[dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")).get("looks", []) if path.exists() else []
        )
        return looks


@pytest.mark.parametrize("arguments", [(), ("-n", "2")], ids=["one process", "-n 2"])
def test_a_run_that_stops_when_it_is_decided_is_killed(
    arguments: tuple[str, ...], tmp_path: Path, tiny_data: Path
) -> None:
    project = SequentialProject(tmp_path, tiny_data)
    whole, trainings = project.looks(), sorted(project.lines("trained"))
    assert [len(look["seeds"]) for look in whole if look["method"] == "same"] == [1]
    came = []
    for moment in moments(f"sequential {arguments}", 0.3, 1.1 * project.seconds):
        project.begin()
        run = project.run(*arguments)
        time.sleep(moment)
        run.kill()
        run.wait(300)
        kept, spent = project.measured(), project.looks()
        assert all(look in whole for look in spent)
        if arguments:
            time.sleep(1.0)  # the workers end when they notice it
        assert project.run(*arguments).wait(600) == 0, (project.path / "output").read_text()
        assert project.measured() == project.accuracies
        assert project.looks() == whole
        # Only what was in hand is trained again.
        trained = sorted(project.lines("trained"))
        assert set(trained) == set(trainings)
        assert len(trained) - len(trainings) <= (2 if arguments else 1)
        came.append(f"{moment:.1f} s: {len(kept)} kept, {len(spent)} looks")
    tell(f"sequential {' '.join(arguments)}", came)
