"""Long runs: weights, gradients, graphs and caches of a cell are released before the next cell.

``SST2_LONG_RUN_SEEDS=25 pytest tests/end_to_end/test_long_runs.py -m processes`` runs 200 cells.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support import tiny_models

# Memory after any cell stays below this, as a share of the peak after the first cells.
MOST_GROWTH = 1.10
FIRST = 10
# fine-tune, linear-probe and torch-probe of two models, tfidf, majority.
CELLS_PER_SEED = 8
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


def run_cells(folder: Path, seeds: int) -> dict[str, int]:
    """Run all cells of some seeds in one process and return the resident bytes after each, by the cell's id.

    Two encoders with random weights, 28 MB each, are fine-tuned and probed: memory that a cell keeps shows after a few.
    """
    large = {"hidden_size": 384, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 1536}
    for number in (1, 2):
        encoder = tiny_models.write_encoder(folder / f"encoder-{number}", seed=number, **large)
        tiny_models.add_sentence_modules(encoder, dimensions=384)
    (folder / "conftest.py").write_text(_CONFTEST, encoding="utf-8")
    (folder / "test_bench.py").write_text(_BENCHMARK, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    (folder / "data").mkdir()
    rows = [f"{sentence}\t{label}" for sentence, label in zip(*tiny_models.sentences_and_labels(100), strict=True)]
    for name, part in (("train", rows[:60]), ("dev", rows[60:])):
        (folder / "data" / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *part, ""]), encoding="utf-8")
    options = ["--sst2-data=./data", "--sst2-train-size=60", "--models=./encoder-1,./encoder-2", "--sst2-json=all.json"]
    options += [f"--sst2-seeds={','.join(map(str, range(1, seeds + 1)))}"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    environment = {**os.environ, "PYTEST_SST2_CACHE": str(folder / "cache")}
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    lines = [line.split() for line in (folder / "memory").read_text(encoding="utf-8").splitlines()]
    return {cell: int(size) for cell, size in lines}


def growth(sizes: Sequence[int]) -> float:
    """Return the peak memory after any later cell, as a share of the peak after the first cells."""
    return max(sizes[FIRST:]) / max(sizes[:FIRST])


@pytest.mark.processes
def test_the_memory_of_one_process_does_not_grow_from_cell_to_cell(tmp_path: Path) -> None:
    seeds = int(os.environ.get("SST2_LONG_RUN_SEEDS", "2"))
    sizes = run_cells(tmp_path, seeds)
    assert len(sizes) == seeds * CELLS_PER_SEED
    assert growth(list(sizes.values())) <= MOST_GROWTH


def test_a_model_kept_by_each_cell_is_seen() -> None:
    mb = 2**20
    assert growth([(600 + 28 * number) * mb for number in range(2 * CELLS_PER_SEED)]) > MOST_GROWTH
    assert growth([600 * mb] * (FIRST + 1)) == 1.0
