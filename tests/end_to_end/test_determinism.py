"""The same recipe in the same environment: the same answers and fingerprints, however the run is made."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import results

# What a run may differ in: how long it took and what is said of that, where it was, and when.
TIMES = ("rounds", "latency", "warnings", "placement", "peak_bytes", "device_peak_bytes", "environment")
BENCHMARK = """
import pytest

@pytest.mark.sst2
def test_cell(sst2_run):
    sst2_run.measure()
"""
METHODS = "fine-tune,linear-probe,torch-probe,tfidf,majority"

pytestmark = pytest.mark.processes


class Runs:
    """Runs of the same cells, each in a process and with a cache of its own.

    Args:
        project: Where they are made.
        monkeypatch: Sets their environment.
    """

    def __init__(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = project.path
        self.monkeypatch = monkeypatch
        self.count = 0

    def measured(self, *arguments: str, hash_seed: str = "0", cache: str = "") -> dict[str, dict[str, Any]]:
        """Return the records of a run by their cells, without what a run may differ in."""
        self.count += 1
        self.monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
        self.monkeypatch.setenv("PYTEST_SST2_CACHE", str(self.path / (cache or f"cache-{self.count}")))
        written = self.path / f"{self.count}.json"
        asked = ["--methods", METHODS, "--sst2-seeds", "1,2", "--sst2-json", str(written), *arguments]
        subprocess.run([sys.executable, "-m", "pytest", "-q", *asked], check=True, cwd=self.path, timeout=240)
        records = results(written)["records"]
        assert {record["environment"]["variables"]["PYTHONHASHSEED"] for record in records} == {hash_seed}
        assert all(record["environment"]["threads"] >= 1 for record in records)
        return {each["cell"]: {key: each[key] for key in each if key not in TIMES} for each in records}


@pytest.fixture
def runs(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Runs:
    project.makepyfile(test_bench=BENCHMARK)
    return Runs(project, monkeypatch)


def test_every_method_answers_alike_in_another_process_order_and_hash_seed_and_under_xdist(runs: Runs) -> None:
    once = runs.measured(cache="kept")
    assert len(once) == 10
    assert runs.measured(hash_seed="4711", cache="kept") == once, "another hash seed, what was embedded found again"
    assert runs.measured("-n", "2") == once, "two workers"
    methods = ",".join(reversed(METHODS.split(",")))
    assert runs.measured("--methods", methods) == once, "the other way round"


def test_another_seed_is_seen_in_answers_and_in_the_order_of_the_rows(runs: Runs) -> None:
    measured = runs.measured("--methods", "fine-tune")
    one, two = (measured[f"tiny-encoder-fine-tune-seed{seed}"] for seed in (1, 2))
    assert one["probabilities"] != two["probabilities"]
    assert one["fingerprint"]["train"]["order"] != two["fingerprint"]["train"]["order"]
