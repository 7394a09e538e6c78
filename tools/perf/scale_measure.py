"""Compare the speed of serial runs, pytest-xdist and a local Ray cluster of two nodes on the same cells.

    python tools/perf/scale_measure.py --data=FOLDER --models=minilm,FOLDER --seeds=1,2,3,4,5,6

Prints Markdown. Every run has an empty embedding cache. In the last run the script kills one Ray node.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SLOTS = 2
_LOOK_SECONDS = 0.2
_RESULTS = "results.json"
_BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@dataclass(frozen=True)
class Run:
    """One run of all cells, and its time.

    Attributes:
        name: How the cells ran.
        seconds: Duration of the pytest process.
        records: The records in the results file.
        began: Start of the run, in seconds since 1970.
    """

    name: str
    seconds: float
    records: list[dict[str, Any]]
    began: float

    @property
    def accuracies(self) -> dict[str, float]:
        """Return the accuracies by cell id."""
        return {record["cell"]: record["accuracy"] for record in self.records}

    @property
    def workers(self) -> list[list[tuple[float, float]]]:
        """Return the sorted starts and ends of the cells of every worker, in seconds since 1970."""
        by_worker = defaultdict(list)
        for record in self.records:
            place = record["placement"]
            by_worker[place["worker"]].append((place["started"], place["finished"]))
        return [sorted(times) for times in by_worker.values()]

    @property
    def start_seconds(self) -> float:
        """Return the seconds from the start of pytest to the first cell: imports, data, workers."""
        return min(begin for times in self.workers for begin, _ in times) - self.began

    @property
    def busy_share(self) -> float:
        """Return the share of the workers' time between the first and the last cell that was spent on cells."""
        cells = [time for times in self.workers for time in times]
        span = max(end for _, end in cells) - min(begin for begin, _ in cells)
        return sum(end - begin for begin, end in cells) / (span * len(self.workers))

    @property
    def gap_seconds(self) -> float:
        """Return the mean seconds between two cells of one worker."""
        gaps = [later[0] - earlier[1] for times in self.workers for earlier, later in itertools.pairwise(times)]
        return sum(gaps) / len(gaps) if gaps else 0.0


def main() -> None:
    """Run all measurements and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--models", default="minilm")
    parser.add_argument("--methods", default="linear-probe")
    parser.add_argument("--seeds", default="1,2,3,4,5,6")
    parser.add_argument("--rounds", type=int, default=1, help="repetitions of the first three runs, in turns")
    options = parser.parse_args()
    cells = [f"--sst2-{name}={getattr(options, name)}" for name in ("data", "models", "methods", "seeds")]
    runs: list[Run] = []
    for _ in range(options.rounds):
        runs.append(here("serial", cells))
        runs.append(here("pytest-xdist, -n 2", [*cells, f"-n{SLOTS}"]))
        runs.append(on_ray("Ray, two nodes", cells, kill=False))
    runs.append(on_ray("Ray, one node killed", cells, kill=True))
    print(table(runs))


def here(name: str, arguments: list[str]) -> Run:
    """Run the benchmarks once on this machine, without Ray."""
    with tempfile.TemporaryDirectory() as scratch:
        return _measured(name, arguments, Path(scratch))


def on_ray(name: str, cells: list[str], *, kill: bool) -> Run:
    """Run the benchmarks on two Ray nodes with one core each; the time excludes starting the nodes."""
    from ray.cluster_utils import Cluster

    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        room = {"num_cpus": 1, "object_store_memory": 500 * 2**20}
        os.environ["PYTEST_SST2_CACHE"] = str(scratch / "cache")  # the nodes inherit it
        cluster = Cluster(initialize_head=True, head_node_args={**room, "include_dashboard": False})
        second = cluster.add_node(**room)
        if kill:
            threading.Thread(target=_kill, args=(cluster, second, scratch / _RESULTS), daemon=True).start()
        try:
            address = f"--sst2-ray-address={cluster.address}"
            return _measured(name, [*cells, "--sst2-executor=ray", address], scratch)
        finally:
            cluster.shutdown()


def _measured(name: str, arguments: list[str], scratch: Path) -> Run:
    """Run the benchmarks once with an empty cache, and time them."""
    results = scratch / _RESULTS
    command = [sys.executable, "-m", "pytest", str(_BENCHMARKS), "-q", f"--sst2-json={results}", *arguments]
    began = time.time()
    subprocess.run(
        command, env={**os.environ, "PYTEST_SST2_CACHE": str(scratch / "cache")}, check=True, stdout=sys.stderr
    )
    seconds = time.time() - began
    return Run(name, seconds, json.loads(results.read_text(encoding="utf-8"))["records"], began)


def _kill(cluster: Any, node: Any, results: Path) -> None:
    """Kill a node when a third of the cells are in the results file."""
    while True:
        time.sleep(_LOOK_SECONDS)
        if results.exists():
            data = json.loads(results.read_text(encoding="utf-8"))
            if 3 * len(data["records"]) >= len(data["planned"]):
                break
    cluster.remove_node(node, allow_graceful=False)


def table(runs: list[Run]) -> str:
    """Return the runs as a Markdown table that compares their accuracies with the first run's."""
    lines = [
        "| run | wall s | to the first cell s | between two cells s | workers busy | cells | accuracies |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for run in runs:
        same = "as serial" if run.accuracies == runs[0].accuracies else "OTHERS"
        lines.append(
            f"| {run.name} | {run.seconds:.0f} | {run.start_seconds:.1f} | {run.gap_seconds:.2f} | "
            f"{100 * run.busy_share:.0f} % | {len(run.records)} | {same} |"
        )
    retries = [
        f"{record['cell']}: {text}" for record in runs[-1].records for text in record["warnings"] if "attempt" in text
    ]
    accuracies = [f"{cell} {accuracy}" for cell, accuracy in runs[0].accuracies.items()]
    return "\n".join([*lines, "", *retries, "", *accuracies])


if __name__ == "__main__":
    main()
