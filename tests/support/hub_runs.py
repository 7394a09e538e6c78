"""Serve repositories from a loopback Hub, and run processes and benchmarks that use it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pytest_sst2
from pytest_sst2.config.specs import ModelSpec
from pytest_sst2.data import sources
from pytest_sst2.hub.cache import Lookup, Snapshot, cache_folder
from pytest_sst2.hub.download import download
from pytest_sst2.hub.worker import Request
from pytest_sst2.models import locate
from pytest_sst2.utils.errors import Sst2Error
from tests.support import ROOT
from tests.support.hub_faults import DATA, MODEL, Place
from tests.support.loopback_hub import LoopbackHub
from tests.support.tiny_models import add_sentence_modules, sentences_and_labels, write_encoder

PACKAGES = Path(pytest_sst2.__file__).parents[1]  # of the package under test: the checkout, or an environment
TOKEN = "hf_theTokenThatNobodyMayRead"
# Parts of the output lines that are about the Hub.
_HUB_ERRORS = ("could not be downloaded", "is not available")


def write_repositories(folder: Path) -> dict[Place, Path]:
    """Write a tiny sentence encoder and a tiny data set in the layout of the Hub."""
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


def write_files(folder: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def select_texts(sizes: Mapping[str, int | None], _: object) -> list[str]:
    """Return the text files of a repository; see ``hub.worker.Request``."""
    return [name for name in sizes if name.endswith((".json", ".txt"))]


def download_texts(repo_id: str, revision: str | None = None) -> Snapshot:
    """Download the text files of a model's repository."""
    return download(Request(repo_id, "model", revision, f"{__name__}:select_texts"), lambda: Lookup(None))


def load(place: Place) -> object:
    """Load a repository from the cache or the Hub in this process, as a run does, and return its content."""
    if place == DATA:
        return sources.load_source("hub").dataset["train"][:]
    return locate.locate_files(ModelSpec("words", place.repo_id), trust_remote_code=False).weights.sha256


def refusal(place: Place) -> str:
    with pytest.raises(Sst2Error) as caught:
        load(place)
    return str(caught.value)


def assert_the_cache_is_sound(folder: Path) -> None:
    """Assert that the files of all cached snapshots are equal to those of ``folder``."""
    for path in cache_folder().glob("*/snapshots/*/**/*"):
        if path.is_file():
            name = Path(*path.relative_to(cache_folder()).parts[3:])
            assert path.read_bytes() == (folder / name).read_bytes(), name


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder, by name."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@dataclass
class Run:
    """A finished run: exit status, output and duration."""

    status: int
    output: str
    seconds: float

    @property
    def errors(self) -> list[str]:
        """The output lines with errors of the Hub."""
        return [line.strip() for line in self.output.splitlines() if any(part in line for part in _HUB_ERRORS)]


def environment(address: str, home: Path, **more: str) -> dict[str, str]:
    """Return the environment of a user whose Hub is at ``address`` and whose caches are in ``home``."""
    removed = ("HF_", "TRANSFORMERS_", "COV_CORE", "GITHUB_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(removed)}
    own = {"HF_ENDPOINT": address, "HF_HOME": str(home), "PYTEST_SST2_CACHE": str(home / "sst2"), "CI": ""}
    return {**kept, **own, "NO_PROXY": "127.0.0.1", "COLUMNS": "160", "PYTHONPATH": str(PACKAGES), **more}


def run_benchmarks(*options: str, env: dict[str, str], folder: Path) -> Run:
    """Run ``pytest benchmarks`` as a user does."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pytest", str(ROOT / "benchmarks"), "-p", "no:cacheprovider", *options],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return Run(done.returncode, done.stdout, time.perf_counter() - start)


def options_for(place: Place) -> list[str]:
    """Return the options of a run that needs this repository and no other from the Hub."""
    if place.repo_type == "dataset":
        return ["--methods=majority", "--sst2-data=hub"]
    return [f"--models={place.repo_id}", "--methods=linear-probe", "--sst2-data=pocket"]


_FETCH = """
import hashlib, json, signal, sys, time
from pathlib import Path
from pytest_sst2.models import locate as checkpoints
from pytest_sst2.data import sources
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.config.specs import ModelSpec

# SIGINT is ignored in a shell's background jobs.
signal.signal(signal.SIGINT, signal.default_int_handler)
repo_type, repo_id = sys.argv[1:3]
start = time.perf_counter()
answer = {}
try:
    if repo_type == "dataset":
        sources.load_hub()
        folder = sources._cached().snapshot.folder
    else:
        folder = checkpoints.locate_files(ModelSpec("words", repo_id), trust_remote_code=False).folder
    files = [path for path in folder.rglob("*") if path.is_file()]
    digest = lambda path: hashlib.sha256(path.read_bytes()).hexdigest()
    answer["files"] = {path.relative_to(folder).as_posix(): digest(path) for path in files}
except Sst2Error as error:
    answer["error"] = str(error)
answer["seconds"] = time.perf_counter() - start
print(json.dumps(answer))
"""


def start_fetch(place: Place, env: dict[str, str]) -> subprocess.Popen[str]:
    """Start a process that gets a repository from the cache or the Hub, as a run does first."""
    command = [sys.executable, "-P", "-c", _FETCH, place.repo_type, place.repo_id]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the result of such a process: its ``files`` by digest or its ``error``, and the ``seconds`` it took."""
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def fetch(place: Place, env: dict[str, str]) -> dict[str, Any]:
    return result_of(start_fetch(place, env))
