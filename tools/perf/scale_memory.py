"""Measure many cells in one process, all methods by turns, and say what memory the process has after each.

    python -m tools.perf.scale_memory --cells 200

Two encoders with random weights, 28 MB each, are fine-tuned and probed on a hundred short sentences: if one cell's
weights, gradients or graph were kept, a few cells would show it. Prints Markdown; the exit status is 1 where memory
grew.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support import tiny_models

# Memory after any cell stays below this, as a share of the most after one of the first.
MOST_GROWTH = 1.10
FIRST = 10
# fine-tune, linear-probe and torch-probe of two models, tfidf, majority: what one seed makes.
CELLS_OF_A_SEED = 8
_MB = 2**20
_CONFTEST = """
from pathlib import Path

import psutil

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.callspec.params["sst2_cell"].seed)

def pytest_runtest_logfinish(nodeid):
    with open(Path(__file__).parent / "memory", "a") as file:
        print(nodeid.partition("[")[2].rstrip("]"), psutil.Process().memory_info().rss, file=file)
"""
_BENCHMARK = """
import pytest

@pytest.mark.sst2
def test_cell(sst2_run):
    sst2_run.measure()
"""


@dataclass(frozen=True)
class After:
    """What memory the process had when a cell was done: the cell's id, and its resident bytes."""

    cell: str
    resident_bytes: int


def measure(folder: Path, seeds: int, arguments: Sequence[str] = ()) -> list[After]:
    """Run ``CELLS_OF_A_SEED`` cells for each seed in one process.

    Args:
        folder: An empty one, for models, cache and results.
        seeds: How many.
        arguments: Further ones for pytest.

    Returns:
        What memory there was after each cell, in their order.
    """
    large = {"hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 1536}
    for number in (1, 2):
        tiny_models.add_sentence_modules(
            tiny_models.write_encoder(folder / f"encoder-{number}", seed=number, **large), dimensions=384
        )
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "test_bench.py").write_text(_BENCHMARK, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    _write_data(folder / "data")
    asked = ["--sst2-data=./data", "--sst2-train-size=60", "--models=./encoder-1,./encoder-2", "--sst2-json=all.json"]
    asked += [f"--sst2-seeds={','.join(map(str, range(1, seeds + 1)))}"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked, *arguments]
    environment = {**os.environ, "PYTEST_SST2_CACHE": str(folder / "cache")}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    lines = [line.split() for line in (folder / "memory").read_text(encoding="utf-8").splitlines()]
    return [After(cell, int(size)) for cell, size in lines]


def _write_data(folder: Path) -> None:
    folder.mkdir()
    rows = [f"{sentence}\t{label}" for sentence, label in zip(*tiny_models.sentences_and_labels(100), strict=True)]
    for name, part in (("train", rows[:60]), ("dev", rows[60:])):
        (folder / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *part, ""]), encoding="utf-8")


def growth(measured: Sequence[After]) -> float:
    """Return the most memory after any later cell, as a share of the most after one of the first."""
    sizes = [each.resident_bytes for each in measured]
    return max(sizes[FIRST:]) / max(sizes[:FIRST])


def table(measured: Sequence[After]) -> str:
    """Return least, mean and most memory, stretch by stretch."""
    lines = ["| cells | least MB | mean MB | most MB |", "| --- | --- | --- | --- |"]
    step = max(FIRST, len(measured) // 10)
    for start in [0, *range(FIRST, len(measured), step)]:
        end = FIRST if not start else min(start + step, len(measured))
        sizes = [each.resident_bytes / _MB for each in measured[start:end]]
        mean = sum(sizes) / len(sizes)
        lines.append(f"| {start + 1} to {end} | {min(sizes):.0f} | {mean:.0f} | {max(sizes):.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=200)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Path(folder), -(-asked.cells // CELLS_OF_A_SEED))
    print(table(measured))
    print(f"\nThe most after cell {FIRST} is {growth(measured):.1%} of the most before.")
    return int(growth(measured) > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
