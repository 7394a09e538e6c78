"""Cost as a function of the number of training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from tools.perf.head_to_head.workload import Workload


def growth(workload: Workload, method: str, sizes: Sequence[int], dtype: str) -> Iterator[tuple[int, int, float]]:
    """Yield training rows, their tokens, and seconds without loading, for each number of training rows."""
    spec = next(each for each in METHODS if each.name == method)
    for size in sizes:
        job = workload.job("minilm", 1, size, dtype=dtype)
        with freed_memory_kept():
            train(spec, job)
        seconds = sum(phase.seconds for phase in job.clock.phases if phase.name != "load")
        yield len(job.train), workload.tokens("minilm", job.train.sentences), seconds
