"""Measure a peer and this package at the same work, in turn, so that changes of the machine affect both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """The result of one run.

    Attributes:
        seconds: Wall time of the work.
        gflop: Arithmetic of its matrix products without padding; 0 if it is not counted.
        result: Its output, for checks and for the comparison of accuracies.
        peak_bytes: Peak memory, or None if it is not measured.
    """

    seconds: float
    gflop: float = 0.0
    result: Any = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to do the work: a function from the number of the round to its outcome, and the target for the ratio."""

    name: str
    run: Callable[[int], Outcome]
    reach: float | None = None


@dataclass(frozen=True)
class HeadToHead:
    """The same work done by a peer and in our ways; a ratio is the peer's seconds divided by ours."""

    title: str
    peer: Candidate
    ours: tuple[Candidate, ...]


@dataclass
class Timings:
    """The outcomes of a candidate, one per round, and the matrix rate of the machine around each, in GFLOP/s."""

    candidate: Candidate
    outcomes: list[Outcome] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median seconds."""
        return statistics.median(outcome.seconds for outcome in self.outcomes)

    def ratios_to(self, peer: Timings) -> list[float]:
        """Return the speed relative to the peer, one ratio per round."""
        return [theirs.seconds / ours.seconds for theirs, ours in zip(peer.outcomes, self.outcomes, strict=True)]

    @property
    def shares_of_limit(self) -> list[float]:
        """Share of the machine's float32 matrix rate, one per round; empty if the arithmetic is not counted."""
        return [
            outcome.gflop / outcome.seconds / rate
            for outcome, rate in zip(self.outcomes, self.rates, strict=True)
            if outcome.gflop
        ]


def measure(pair: HeadToHead, rounds: int, say: Callable[[str], None]) -> list[Timings]:
    """Run every candidate in turn, every second round in reverse; the peer comes first in the result."""
    timings = [Timings(candidate) for candidate in (pair.peer, *pair.ours)]
    for number in range(rounds):
        for timing in timings if number % 2 == 0 else reversed(timings):
            gc.collect()
            before = matrix_rate()
            outcome = timing.candidate.run(number)
            timing.outcomes.append(outcome)
            timing.rates.append(statistics.mean((before, matrix_rate())))
            say(f"{pair.title}, round {number + 1} of {rounds}: {timing.candidate.name} {outcome.seconds:.2f} s")
    return timings


def matrix_rate() -> float:
    """Return the machine's median rate in a large float32 matrix product of an encoder's shape, in GFLOP/s."""
    import torch

    rows, inner, columns = 1024, 384, 1536
    left, right = torch.randn(rows, inner), torch.randn(columns, inner)
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        seconds.append(time.perf_counter() - start)
    return 2 * rows * inner * columns / statistics.median(seconds) / 1e9


def table_rows(pair: HeadToHead, timings: Sequence[Timings]) -> Iterator[list[str]]:
    """Yield a row of the report for each of our candidates."""
    peer, *ours = timings
    for timing in ours:
        ratios, shares = timing.ratios_to(peer), timing.shares_of_limit
        reach = timing.candidate.reach
        yield [
            f"{pair.title}: {timing.candidate.name}",
            pair.peer.name,
            f"{peer.seconds:.2f}",
            f"{timing.seconds:.2f}",
            " / ".join(f"{value:.2f}" for value in (min(ratios), statistics.median(ratios), max(ratios))),
            "" if reach is None else f"≥ {reach:g}",
            f"{100 * statistics.median(shares):.0f} %" if shares else "",
        ]


HEADERS = ("work", "peer", "peer s", "ours s", "ratio: min / median / max", "to reach", "of the float32 limit")
