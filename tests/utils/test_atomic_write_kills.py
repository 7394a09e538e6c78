"""Kill runs while they write: every file is complete, with its old or its new content.

``SST2_KILLS=100 pytest tests/utils/test_atomic_write_kills.py -s`` kills a serial run a hundred times: at random
moments among its cells, after the last, and in the middle of a random write.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_sst2.methods.fast.embedding_cache import _SUFFIX, _unpacked
from pytest_sst2.report.write import CSV, HTML, MARKDOWN
from pytest_sst2.results.file import results_from_text
from pytest_sst2.results.floors import load_floors
from tests.support import forked_pytest as forked_runs

pytestmark = pytest.mark.processes
KILLS = int(os.environ.get("SST2_KILLS", "4"))
SEEDS = (1, 2, 3, 4, 5)
KINDS = ("at a write", "among the cells", "after the last cell", "at a write")
# The results file after each of ten cells and at the end, the cache, floors, baseline, three report files.
WRITES = 22
CONFTEST = """
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
    time.sleep(0.05)
    return lambda sentences: np.random.default_rng(job.seed).random(len(sentences))

def pytest_sst2_methods():
    return [MethodSpec("steady", steady, needs_model=False)]

@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report):
    if hasattr(report, "sst2_record"):
        append("finished", report.sst2_record["cell"])

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    append("moments", f"cells {time.time()}")
    return (yield)

def pytest_unconfigure():
    append("moments", f"end {time.time()}")
"""
BENCHMARK = """
import pytest

@pytest.mark.sst2
def test_cell(sst2_run):
    sst2_run.measure()
"""


class Project:
    """A folder for runs to kill, and the files of a run that ends by itself.

    Args:
        folder: An empty folder.
        data: The data set.
        encoder: The model.
    """

    def __init__(self, folder: Path, data: Path, encoder: Path) -> None:
        self.folder = folder
        self.path = folder
        self.data = data
        self.encoder = encoder
        self.runs = 0
        self.begin()
        self.run().join(300)
        self.accuracies = self.measured()
        assert len(self.accuracies) == 2 * len(SEEDS), (self.path / "output").read_text()
        self.earlier = {name: (self.path / name).read_bytes() for name in self.kept()}
        self.begin()
        began = time.time()
        self.run(report=True).join(300)
        moments = dict(line.split() for line in self.lines("moments"))
        # Seconds from the start of a run to its last cell and to its end.
        self.cells_seconds, self.seconds = (float(moments[name]) - began for name in ("cells", "end"))

    def begin(self) -> None:
        """Create a new folder with the files of the earlier run."""
        self.runs += 1
        self.path = self.folder / f"run-{self.runs}"
        self.path.mkdir()
        (self.path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (self.path / "test_bench.py").write_text(BENCHMARK, encoding="utf-8")
        (self.path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for name, content in getattr(self, "earlier", {}).items():
            (self.path / name).parent.mkdir(exist_ok=True)
            (self.path / name).write_bytes(content)

    def kept(self) -> list[str]:
        """Return the files that a run replaces, except the report."""
        return ["floors.toml", ".sst2/main.json"]

    def run(self, *, report: bool = False, killed_at_write: int = 0) -> Any:
        """Start pytest, which resumes from r.json."""
        options = [f"--sst2-data={self.data}", "--sst2-train-size=60", f"--models={self.encoder}"]
        options += [
            "--methods=steady,linear-probe",
            "--sst2-resume=r.json",
            f"--sst2-seeds={','.join(map(str, SEEDS))}",
        ]
        options += ["--sst2-save=main", "--sst2-overwrite", "--sst2-calibrate-floors", "--sst2-floors=floors.toml"]
        options += ["--sst2-report=report"] if report else []
        os.environ["PYTEST_SST2_CACHE"] = str(self.path / "cache")
        return forked_runs.start(self.path, options, killed_at_write=killed_at_write)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a log."""
        path = self.path / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def measured(self, name: str = "r.json") -> dict[str, float]:
        """Return the accuracies in a results file; none if there is no file."""
        path = self.path / name
        if not path.exists():
            return {}
        return {
            record.cell: record.accuracy for record in results_from_text(path.read_text(encoding="utf-8"), name).records
        }

    def check(self) -> Counter[str]:
        """Check that every file is complete; return the numbers of files by kind."""
        counts: Counter[str] = Counter()
        finished, kept = self.lines("finished"), self.measured()
        assert set(finished) <= kept.keys()
        assert kept.items() <= self.accuracies.items()
        counts["cells kept"] = len(kept)
        assert self.measured(".sst2/main.json") == self.accuracies
        counts["baselines new"] = (self.path / ".sst2" / "main.json").read_bytes() != self.earlier[".sst2/main.json"]
        assert len(load_floors(self.path / "floors.toml")) == 2
        for name in (HTML, MARKDOWN, CSV):
            with contextlib.suppress(FileNotFoundError):
                self._check_report(name, (self.path / "report" / name).read_text(encoding="utf-8"))
                counts["report files"] += 1
        for path in (self.path / "cache").glob(f"*{_SUFFIX}"):
            assert _unpacked(path.name.removesuffix(_SUFFIX), path.read_bytes()) is not None
            counts["cache entries"] += 1
        counts["scratch files"] = len(list(self.path.rglob(".*.part")))
        return counts

    def _check_report(self, name: str, text: str) -> None:
        if name == HTML:
            assert text.rstrip().endswith("</html>")
        elif name == CSV:
            cells = {name.partition("-seed")[0] for name in self.accuracies}
            assert len(list(csv.reader(text.splitlines()))) == 1 + len(cells)
        else:
            assert all(method in text for method in ("steady", "linear-probe"))

    def go_on(self) -> None:
        """Resume the killed run and check that its results are those of a run that ended by itself."""
        run = self.run()
        run.join(300)
        assert run.exitcode == 0, (self.path / "output").read_text(encoding="utf-8")
        assert self.measured() == self.measured(".sst2/main.json") == self.accuracies
        assert json.loads((self.path / "r.json").read_text(encoding="utf-8"))["failures"] == []


def test_a_run_that_is_killed_leaves_every_file_whole_and_can_be_finished(
    tmp_path: Path, tiny_data: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_SST2_CACHE", "")
    project = Project(tmp_path, tiny_data, tiny_encoder)
    chance = random.Random("kills of files")
    total: Counter[str] = Counter()
    for number in range(KILLS):
        project.begin()
        began = time.time()
        kind = KINDS[number % len(KINDS)]
        write = chance.randint(1, WRITES) if kind == "at a write" else 0
        run = project.run(report=True, killed_at_write=write)
        if write:
            run.join(300)
        elif kind == "among the cells":
            time.sleep(chance.uniform(0.1 * project.cells_seconds, 1.1 * project.cells_seconds))
        else:
            while not project.lines("moments") and run.is_alive():
                time.sleep(0.002)
            time.sleep(chance.uniform(0.0, 1.05 * (project.seconds - project.cells_seconds)))
        run.kill()
        run.join(300)
        total["killed before their end"] += run.exitcode == -signal.SIGKILL
        counts = project.check()
        project.go_on()
        total += counts
        at = f"{kind} ({write})" if write else kind
        print(f"{number + 1}: killed {at}, {time.time() - began:.1f} s in all: {dict(counts)}", flush=True)
    print(f"\n{KILLS} kills: {dict(total)}")
