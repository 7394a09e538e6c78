"""Simulate 2,000 cells on 64 GPUs from measured costs, and say how far from the bound the makespan is.

    python tools/perf/scale_simulate.py

Prints Markdown. The engine is taken to be what Ray is for us: cells wait in the order they were submitted in, and each
goes to the GPU that is free first, in a process of its own.
"""

from __future__ import annotations

import heapq
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

GPUS = 64
CELLS = 2_000
# Sizes in millions of parameters, of encoders that people ask for: from TinyBERT to RoBERTa-large.
MODELS = (
    4.4,
    14.4,
    17.4,
    22.7,
    22.7,
    33.4,
    33.4,
    66.4,
    66.4,
    67.0,
    82.1,
    82.1,
    109.5,
    109.5,
    109.5,
    124.6,
    125.0,
    184.0,
)
MODELS = (*MODELS, 335.1, 355.4)
SEEDS = 25
# Measured, docs/performance.md: seconds for all 67,349 rows with minilm (22.7 million parameters) on two CPU cores: one
# pass of fine-tuning in bfloat16, and embedding with the fit. The full recipe makes three passes.
MINILM = 22.7
FINE_TUNE_SECONDS = 3 * 621.6
PROBE_SECONDS = 222.8
# Measured likewise: TF-IDF with the full recipe, fingerprints included.
WORDS_SECONDS = 6.0
# Not measured, since no GPU was at hand: how many times faster one is than those two cores.
GPU_FACTORS = (20.0, 100.0)
# Measured on two CPU cores: a process of Ray's, from its start to a cell's beginning, all imports included.
START_SECONDS = 7.0
# How much a cell differs from its known cost.
SPREAD = 0.15


@dataclass(frozen=True)
class Outcome:
    """What came of one simulated run, in seconds of GPU work and of wall time."""

    makespan: float
    work: float
    longest: float
    repeated: float

    @property
    def bound(self) -> float:
        """No schedule is shorter: all work over all GPUs, and no cell is divided."""
        return max(self.work / GPUS, self.longest)


def costs(factor: float) -> list[float]:
    """Return the seconds of each cell, in the order of the matrix: method by method, model by model.

    A probe is taken to embed for itself, which on a node that has embedded for another seed it need not.

    Args:
        factor: How many times faster a GPU is than two CPU cores.
    """
    whole = (FINE_TUNE_SECONDS, PROBE_SECONDS, PROBE_SECONDS)
    found = [seconds * size / MINILM / factor for seconds in whole for size in MODELS for _ in range(SEEDS)]
    return found + [WORDS_SECONDS] * (CELLS - len(found))


def simulate(known: Sequence[float], *, longest_first: bool, lost_an_hour: float, seed: int) -> Outcome:
    """Hand the cells out.

    Args:
        known: What each is thought to cost.
        longest_first: Whether they are submitted in that order, or in the matrix's.
        lost_an_hour: How many GPUs are lost in an hour of wall time; another takes the place of each at once, and its
            cell starts again.
        seed: Of the chances.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation
    real = [cost * chance.lognormvariate(0.0, SPREAD) + START_SECONDS for cost in known]
    order = sorted(range(len(known)), key=lambda number: -known[number] if longest_first else number)
    free = [0.0] * GPUS
    rate = lost_an_hour / 3600 / GPUS
    repeated = 0.0
    for number in order:
        begin = heapq.heappop(free)
        while rate and (lost := chance.expovariate(rate)) < real[number]:
            begin += lost
            repeated += lost
        heapq.heappush(free, begin + real[number])
    return Outcome(max(free), sum(real), max(real), repeated)


def main() -> None:
    """Print the table."""
    print("| a GPU is | order | GPUs lost an hour | makespan | bound | over the bound | work done twice |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for factor in GPU_FACTORS:
        for longest_first in (False, True):
            for lost in (0.0, 4.0):
                outcomes = [
                    simulate(costs(factor), longest_first=longest_first, lost_an_hour=lost, seed=seed)
                    for seed in range(25)
                ]
                span, bound = (
                    statistics.median(getattr(each, name) for each in outcomes) for name in ("makespan", "bound")
                )
                again = statistics.median(each.repeated / each.work for each in outcomes)
                order = "longest first" if longest_first else "as the matrix"
                print(
                    f"| {factor:.0f} × two cores | {order} | {lost:g} | {span / 60:.1f} min | {bound / 60:.1f} min | "
                    f"{100 * (span / bound - 1):.1f} % | {100 * again:.1f} % |"
                )


if __name__ == "__main__":
    main()
