"""Whole processes: a run of the suite against a script, somebody's tests with and without the plugin, a compare."""

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

from pytest_sst2.results.file import results_from_text, results_text
from tools.perf.head_to_head.contest import Contest, Contestant, Outcome
from tools.perf.head_to_head.material import Material

_HERE = Path(__file__).resolve().parent
_SUITE = _HERE.parents[2] / "benchmarks"
_CELLS, _EXAMPLES = 200, 872


def contests(material: Material) -> list[Contest]:
    """Return the contests of whole runs."""
    return [
        Contest(
            "whole run of the probe row",
            Contestant("plain script", _plain_script(material)),
            (Contestant("pytest benchmarks", _benchmarks(material), 1 / 1.05),),
        ),
    ]


def startup(material: Material) -> Contest:
    """Return the contest of an unrelated test run."""
    project = material.scratch / "unrelated"
    project.mkdir(exist_ok=True)
    (project / "test_nothing.py").write_text("def test_nothing():\n    assert True\n")
    (project / "pytest.ini").write_text("[pytest]\n")
    call = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]

    def run(*more: str) -> Outcome:
        # As installed: modules already compiled, which an environment variable can forbid in a checkout.
        return _process([*call, *more], project, PYTHONDONTWRITEBYTECODE="")

    return Contest(
        "an unrelated project's tests",
        Contestant("without the plugin", lambda _: run("-p", "no:sst2")),
        (Contestant("with it", lambda _: run()),),
    )


def comparison(material: Material) -> Outcome:
    """Return what ``pytest-sst2 compare`` takes for two files of 200 records with 872 predictions each."""
    before, after = _two_files(material.scratch)
    return _process(
        [sys.executable, "-m", "pytest_sst2.cli.main", "compare", str(before), str(after)], material.scratch
    )


def all_cells(material: Material, models: str) -> list[dict[str, Any]]:
    """Return the records of every method on some models, as plain values."""
    path = material.scratch / "cells.json"
    _process([*_suite_call(material, models), "--sst2-no-cache", "--sst2-json", str(path)], material.scratch)
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["records"]
    return records


def _suite_call(material: Material, models: str) -> list[str]:
    return [
        *(sys.executable, "-P", "-m", "pytest", str(_SUITE), "-q", "-p", "no:cacheprovider"),
        *(f"--rootdir={_SUITE}", f"--sst2-models={models}", f"--sst2-data={material.data}", "--sst2-min-accuracy=0"),
    ]


def _benchmarks(material: Material) -> Any:
    call = [*_suite_call(material, "minilm"), "--sst2-methods=linear-probe,torch-probe"]

    def run(number: int) -> Outcome:
        # An empty cache for each run: what the second probe takes from the first is part of the contest.
        return _process(call, material.scratch, PYTEST_SST2_CACHE=str(material.scratch / f"embeddings-{number}"))

    return run


def _plain_script(material: Material) -> Any:
    files = []
    for split in ("train", "validation"):
        path = material.scratch / f"{split}.tsv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
            writer.writerow(("sentence", "label"))
            rows = material.source.dataset[split]
            writer.writerows(zip(rows["sentence"], rows["label"], strict=True))
        files.append(str(path))
    folder = str(material.loader.locate(material.model("minilm")).folder)
    call = [sys.executable, str(_HERE / "plain_probe.py"), folder, *files, "2000"]
    return lambda _: _process(call, material.scratch, HF_DATASETS_CACHE=str(material.scratch / "datasets"))


# Starts a command and prints its peak memory. Linux counts in what the process that starts another held itself, so that
# one of ours, with PyTorch in it, cannot ask for this.
_LAUNCHER = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def _process(call: list[str], folder: Path, **variables: str) -> Outcome:
    """Return wall time and peak memory of a process that must succeed (or, a comparison, come to a verdict)."""
    launched = [sys.executable, "-S", "-E", "-c", _LAUNCHER, *call]
    start = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own commands
        launched, cwd=folder, capture_output=True, text=True, env={**os.environ, **variables}, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode not in (0, 1 if "compare" in call else 0):
        raise RuntimeError(f"{' '.join(call)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    kilobytes = int(done.stderr.split()[-1])
    return Outcome(seconds, result=done.stdout, peak_bytes=kilobytes * (1 if sys.platform == "darwin" else 1024))


def _two_files(folder: Path) -> tuple[Path, Path]:
    """Write two results files of 200 cells whose answers differ in 3 of 100 sentences; return their paths."""
    template = json.loads((folder / "cells.json").read_text(encoding="utf-8"))
    record = next(each for each in template["records"] if each["method"] == "linear-probe")
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
        paths.append(folder / f"{name}.json")
        paths[-1].write_text(results_text(found.records, [], packed=True), encoding="utf-8")
    return paths[0], paths[1]
