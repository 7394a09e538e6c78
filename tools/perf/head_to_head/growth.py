"""How cost grows with the number of training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from tools.perf.head_to_head.material import Material


def growth(material: Material, method: str, sizes: Sequence[int], dtype: str) -> Iterator[tuple[int, int, float]]:
    """Give, for each number of training rows, the rows, their tokens, and the seconds of a method's phases."""
    spec = next(each for each in METHODS if each.name == method)
    for size in sizes:
        job = material.job("minilm", 1, size, dtype=dtype)
        with freed_memory_kept():
            train(spec, job)
        seconds = sum(phase.seconds for phase in job.clock.phases if phase.name != "load")
        yield len(job.train), material.tokens("minilm", job.train.sentences), seconds
