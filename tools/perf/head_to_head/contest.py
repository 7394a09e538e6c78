"""A contest: the same work done by a peer and by this package, in turn, so that a drifting machine hurts both alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What one run came to.

    Attributes:
        seconds: How long the work took.
        gflop: Arithmetic that the work cannot do without, in its matrix products; 0 where that is not counted.
        result: What it produced, for checks and for the comparison of accuracies.
        peak_bytes: The most memory it took, where that is measured.
    """

    seconds: float
    gflop: float = 0.0
    result: Any = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class Contestant:
    """One way to do the work: from the number of the round to its outcome. ``reach`` is the ratio it is to reach."""

    name: str
    run: Callable[[int], Outcome]
    reach: float | None = None


@dataclass(frozen=True)
class Contest:
    """The same work done in several ways; ratios are the peer's seconds by those of the others."""

    title: str
    peer: Contestant
    ours: tuple[Contestant, ...]


@dataclass
class Score:
    """What a contestant did in each round, and the matrix rate of the machine beside it, in GFLOP/s."""

    contestant: Contestant
    outcomes: list[Outcome] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Median seconds."""
        return statistics.median(outcome.seconds for outcome in self.outcomes)

    def ratios_to(self, peer: Score) -> list[float]:
        """Return how many times as fast it was as the peer, round by round."""
        return [theirs.seconds / ours.seconds for theirs, ours in zip(peer.outcomes, self.outcomes, strict=True)]

    @property
    def shares_of_limit(self) -> list[float]:
        """Share of the machine's float32 matrix rate that the work came to, round by round; empty if not counted."""
        return [
            outcome.gflop / outcome.seconds / rate
            for outcome, rate in zip(self.outcomes, self.rates, strict=True)
            if outcome.gflop
        ]


def hold(contest: Contest, rounds: int, say: Callable[[str], None]) -> list[Score]:
    """Run every contestant ``rounds`` times, in turn, every second round backwards; the peer's score comes first."""
    scores = [Score(contestant) for contestant in (contest.peer, *contest.ours)]
    for number in range(rounds):
        for score in scores if number % 2 == 0 else reversed(scores):
            gc.collect()
            before = matrix_rate()
            outcome = score.contestant.run(number)
            score.outcomes.append(outcome)
            score.rates.append(statistics.mean((before, matrix_rate())))
            say(f"{contest.title}, round {number + 1} of {rounds}: {score.contestant.name} {outcome.seconds:.2f} s")
    return scores


def matrix_rate(dtype: str = "float32", device: str = "cpu", size: tuple[int, int, int] = (1024, 384, 1536)) -> float:
    """Return the machine's rate in one large matrix product of an encoder's shape, in GFLOP/s: the median of many."""
    import torch

    rows, inner, columns = size
    left = torch.randn(rows, inner, device=device).to(getattr(torch, dtype))
    right = torch.randn(columns, inner, device=device).to(getattr(torch, dtype))
    seconds = []
    for _ in range(40):
        start = time.perf_counter()
        torch.nn.functional.linear(left, right)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return 2 * rows * inner * columns / statistics.median(seconds) / 1e9


def table_rows(contest: Contest, scores: Sequence[Score]) -> Iterator[list[str]]:
    """Give a row of the report for each of ours."""
    peer, *ours = scores
    for score in ours:
        ratios, shares = score.ratios_to(peer), score.shares_of_limit
        reach = score.contestant.reach
        yield [
            f"{contest.title}: {score.contestant.name}",
            contest.peer.name,
            f"{peer.seconds:.2f}",
            f"{score.seconds:.2f}",
            " / ".join(f"{value:.2f}" for value in (min(ratios), statistics.median(ratios), max(ratios))),
            "" if reach is None else f"≥ {reach:g}",
            f"{100 * statistics.median(shares):.0f} %" if shares else "",
        ]


HEADERS = ("work", "peer", "peer s", "ours s", "ratio: min / median / max", "to reach", "of the float32 limit")
