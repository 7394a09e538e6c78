"""Whole processes: the suite against a plain script, unrelated tests with and without the plugin, and a comparison."""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pytest_sst2.results.file import Results, results_from_text, results_text
from tools.perf.head_to_head.measure import Candidate, HeadToHead, Outcome
from tools.perf.head_to_head.workload import Workload

_HERE = Path(__file__).resolve().parent
_SUITE = _HERE.parents[2] / "benchmarks"
_CELLS, _EXAMPLES = 200, 872


def pairs(workload: Workload) -> list[HeadToHead]:
    """Return the pairs of whole runs."""
    return [
        HeadToHead(
            "whole run of the probe row",
            Candidate("plain script", _plain_script(workload)),
            (Candidate("pytest benchmarks", _benchmarks(workload), 1 / 1.05),),
        ),
    ]


def startup(workload: Workload) -> HeadToHead:
    """Return the pair of a test run of an unrelated project."""
    project = workload.scratch / "unrelated"
    project.mkdir(exist_ok=True)
    (project / "test_nothing.py").write_text("def test_nothing():\n    assert True\n")
    (project / "pytest.ini").write_text("[pytest]\n")
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def run(*more: str) -> Outcome:
        return _process([*call, *more], project)

    return HeadToHead(
        "an unrelated project's tests",
        Candidate("without the plugin", lambda _: run("-p", "no:sst2")),
        (Candidate("with it", lambda _: run()),),
    )


def comparison(workload: Workload, rounds: int) -> list[Outcome]:
    """Measure ``pytest-sst2 compare`` on two files of 200 records with 872 predictions each."""
    files = map(str, _two_files(workload))
    call = [sys.executable, "-m", "pytest_sst2.cli.main", "compare", *files]
    return [_process(call, workload.scratch) for _ in range(rounds)]


def _suite_call(workload: Workload, models: str) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "pytest", str(_SUITE), "-q", "-p", "no:cacheprovider"),
        *(f"--rootdir={_SUITE}", f"--sst2-models={models}", f"--sst2-data={workload.data}", "--sst2-min-accuracy=0"),
    ]


def _benchmarks(workload: Workload) -> Any:
    call = [*_suite_call(workload, "minilm"), "--sst2-methods=linear-probe,torch-probe"]

    def run(number: int) -> Outcome:
        # An empty cache for each run: the second probe may reuse the embeddings of the first.
        return _process(call, workload.scratch, PYTEST_SST2_CACHE=str(workload.scratch / f"embeddings-{number}"))

    return run


def _plain_script(workload: Workload) -> Any:
    files = []
    for split in ("train", "validation"):
        path = workload.scratch / f"{split}.tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
            writer.writerow(("sentence", "label"))
            rows = workload.source.dataset[split]
            writer.writerows(zip(rows["sentence"], rows["label"], strict=True))
        files.append(str(path))
    folder = str(workload.loader.locate(workload.model("minilm")).folder)
    call = [sys.executable, str(_HERE / "plain_probe.py"), folder, *files, "2000"]
    return lambda _: _process(call, workload.scratch, HF_DATASETS_CACHE=str(workload.scratch / "datasets"))


# Starts a command and prints its peak memory. Linux counts the memory of the starting process too, which must be small:
# without PyTorch.
_LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _process(call: list[str], folder: Path, **variables: str) -> Outcome:
    """Return wall time and peak memory of a process, which must succeed or, for a comparison, reach a verdict."""
    launched = [sys.executable, "-S", "-E", "-c", _LAUNCHER, *call]
    # Installed modules are compiled; an environment variable could forbid that in a checkout.
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **variables}
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own commands
        launched, cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1 if "compare" in call else 0):
        raise RuntimeError(f"{' '.join(call)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    kilobytes = int(done.stderr.split()[-1])
    return Outcome(seconds, result=done.stdout, peak_bytes=kilobytes * (1 if sys.platform == "darwin" else 1024))


def _two_files(workload: Workload) -> tuple[Path, Path]:
    """Write two results files of 200 cells whose answers differ in 3 of 100 sentences; return their paths."""
    path = workload.scratch / "cells.json"
    call = [*_suite_call(workload, "minilm"), "--sst2-methods=linear-probe", "--sst2-no-cache", f"--sst2-json={path}"]
    _process(call, workload.scratch)
    template = json.loads(path.read_text(encoding="utf-8"))
    (record,) = template["records"]
    draws = random.Random(0)  # noqa: S311 - for made-up answers
    labels = [draws.randint(0, 1) for _ in range(_EXAMPLES)]
    paths = []
    for name in ("before", "after"):
        records = []
        for number in range(_CELLS):
            answers = [label if draws.random() < 0.85 else 1 - label for label in labels]
            records.append(
                {
                    **record,
                    "cell": f"made-up-{number}",
                    "model": f"made-up-{number}",
                    "labels": labels,
                    "predictions": answers,
                    "probabilities": [round(abs(answer - 0.4 * draws.random()), 6) for answer in answers],
                    "total": _EXAMPLES,
                }
            )
        found = results_from_text(json.dumps({**template, "records": records, "failures": []}), name)
        paths.append(workload.scratch / f"{name}.json")
        paths[-1].write_text(results_text(Results(found.records), packed=True), encoding="utf-8")
    return paths[0], paths[1]
