"""How cost grows with the number of training rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from contests.material import Material

from pytest_sst2.heap import kept_heap
from pytest_sst2.methods import Job, train
from pytest_sst2.registry import METHODS
from pytest_sst2.timing import PhaseClock
from pytest_sst2.witness import Witness


def growth(material: Material, method: str, sizes: Sequence[int], dtype: str) -> Iterator[tuple[int, int, float]]:
    """Give, for each number of training rows, the rows, their tokens, and the seconds of a method's phases."""
    spec = next(each for each in METHODS if each.name == method)
    for size in sizes:
        recipe, splits = material.rows(1, size, dtype=dtype)
        clock = PhaseClock()
        witness = Witness(clock, awake=False)
        model = material.model("minilm")
        job = Job(splits.train, splits.evaluation, recipe, 1, clock, material.loader, witness, model)
        with kept_heap():
            train(spec, job)
        seconds = sum(phase.seconds for phase in clock.phases if phase.name != "load")
        yield len(splits.train), material.tokens("minilm", splits.train.sentences), seconds
