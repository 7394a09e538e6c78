"""Repositories for a loopback Hub, and processes that download from it as a user's runs do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_sst2
from tests.support import ROOT
from tests.support.hub_faults import DATA, MODEL, Place
from tests.support.loopback_hub import LoopbackHub
from tests.support.tiny_models import add_sentence_modules, sentences_and_labels, write_encoder

PACKAGES = Path(pytest_sst2.__file__).parents[1]  # the checkout, or an environment's site-packages
TOKEN = "hf_theTokenThatNobodyMayRead"
# Lines of a run about the Hub have one of these.
_TELLS = ("could not be had", "was damaged or replaced")


def write_repositories(folder: Path) -> dict[Place, Path]:
    """Write a tiny sentence encoder and a tiny data set in the Hub's layout."""
    return {MODEL: add_sentence_modules(write_encoder(folder / "encoder")), DATA: write_data(folder / "data")}


def write_data(folder: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "data").mkdir(parents=True)
    sentences, labels = sentences_and_labels(160)
    for name, rows in (("train", slice(0, 120)), ("validation", slice(120, 160))):
        table = pa.table({"idx": list(range(160))[rows], "sentence": sentences[rows], "label": labels[rows]})
        pq.write_table(table, folder / "data" / f"{name}-00000-of-00001.parquet")
    return folder


def serve(server: LoopbackHub, repositories: dict[Place, Path]) -> None:
    for place, folder in repositories.items():
        server.add(place.repo_id, folder, repo_type=place.repo_type)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a folder's files by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Run:
    """A finished run: its exit status, its output and its seconds."""

    status: int
    output: str
    seconds: float

    @property
    def sentences(self) -> list[str]:
        """The lines about the Hub."""
        return [line.strip() for line in self.output.splitlines() if any(word in line for word in _TELLS)]


def environment(address: str, home: Path, **more: str) -> dict[str, str]:
    """Return the environment variables of a user whose Hub is ``address`` and whose caches are in ``home``."""
    left_out = ("HF_", "TRANSFORMERS_", "COV_CORE", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "PYTEST_SST2_CACHE": str(home / "sst2"), "CI": ""}
    return {**kept, **own, "NO_PROXY": "127.0.0.1", "COLUMNS": "160", "PYTHONPATH": str(PACKAGES), **more}


def run_benchmarks(*options: str, told: dict[str, str], folder: Path) -> Run:
    """Run ``pytest benchmarks`` as a user does."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=told,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout, time.perf_counter() - began)


def options_for(place: Place) -> list[str]:
    """Return the options of a run that needs this repository and nothing else from the Hub."""
    if place.repo_type == "dataset":
        return ["--methods=majority", "--sst2-data=hub"]
    return [f"--models={place.repo_id}", "--methods=linear-probe", "--sst2-data=pocket"]


_TAKE = """
import hashlib, json, signal, sys, time
from pathlib import Path
from pytest_sst2.models import locate as checkpoints
from pytest_sst2.data import sources
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.config.specs import ModelSpec

# A shell's background job, and so a test in one, has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
repo_type, repo_id = sys.argv[1:3]
began = time.perf_counter()
answer = {}
try:
    if repo_type == "dataset":
        folder = sources.hub_snapshot().folder
    else:
        folder = checkpoints.locate_files(ModelSpec("words", repo_id), trust_remote_code=False).folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    answer["files"] = {path.relative_to(folder).as_posix(): digest(path) for path in files}
except Sst2Error as error:
    answer["said"] = str(error)
answer["seconds"] = time.perf_counter() - began
print(json.dumps(answer))
"""


def start_taking(place: Place, told: dict[str, str]) -> subprocess.Popen[str]:
    """Start a process that loads a repository from the cache or the Hub, as a run does first."""
    command = [sys.executable, "-P", "-c", _TAKE, place.repo_type, place.repo_id]
    return subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def taken(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the result of such a process: digests of the ``files``, or the error (``said``), and the ``seconds``."""
    output, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def take(place: Place, told: dict[str, str]) -> dict[str, Any]:
    return taken(start_taking(place, told))
