"""Simulate what a comparison would decide: by the number of sentences and seeds, before anything is measured.

Every simulated comparison goes through the same functions as a real one, so the plan is what the verdict will do.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.compare.training_spread import STATED_SPREAD, TrainingSpread
from pytest_sst2.compare.verdict import Verdict, verdict_of

POWER = 0.9
# With this many simulated comparisons a share of 0.9 has a standard error of 3 points, which is enough for a plan.
_RUNS = 100
_SEED = 20
# The drop is searched up to 30 points, in steps of a quarter of a point.
_STEP = 0.0025
_LARGEST_STEPS = 120


@dataclass(frozen=True)
class Situation:
    """What decides how a cell would be compared.

    Attributes:
        name: The cell, such as ``minilm × fine-tune``.
        accuracy: Its accuracy.
        flips: Fraction of the sentences that two runs of the same quality answer differently, one of them rightly.
        seed_sd: Standard deviation of the accuracy between trainings, in addition to what the flips explain.
        is_random: Whether it trains in random steps. Else one run is enough, and seeds only draw other rows.
        run_seconds: Seconds of one run without its evaluation rows.
        sentence_seconds: Seconds of one evaluation row.
        sources: Where the numbers come from, one sentence each.
        spread: The spread between trainings that a comparison of one or two seeds uses.
        validation_rows: Up to so many sentences are the same for all seeds. More are held-out ones, drawn by the seed.
    """

    name: str
    accuracy: float
    flips: float
    seed_sd: float
    is_random: bool
    run_seconds: float
    sentence_seconds: float
    sources: tuple[str, ...]
    spread: TrainingSpread = STATED_SPREAD
    validation_rows: int = 872


@dataclass(frozen=True)
class PlanRow:
    """What a comparison of some size would decide.

    Attributes:
        found_drop: The smallest true drop that is called regressed in 90 % of the runs; None if 30 points are not.
        held: Fraction of the harmless changes that are shown to hold.
        seconds: Seconds to measure one side.
    """

    sentences: int
    seeds: int
    found_drop: float | None
    held: float
    seconds: float


def plan_rows(
    situation: Situation,
    sentences: Sequence[int],
    seeds: Sequence[int],
    *,
    tolerance: float,
    alpha: float,
    groups: int = 1,
) -> Iterator[PlanRow]:
    """Yield a row for each number of sentences and seeds; one seed for a cell that does not train in random steps.

    ``groups`` is the number of cells that are compared together, for which p-values are corrected.
    """
    for count in sentences:
        for number in seeds if situation.is_random else (1,):
            simulation = _Simulation(situation, count, number, tolerance, alpha, groups)
            seconds = number * (situation.run_seconds + count * situation.sentence_seconds)
            yield PlanRow(count, number, simulation.found_drop(), simulation.held(), seconds)


@dataclass(frozen=True)
class _Simulation:
    situation: Situation
    sentences: int
    seeds: int
    tolerance: float
    alpha: float
    groups: int

    def found_drop(self) -> float | None:
        """Return the smallest drop that is called regressed often enough; its frequency rises with the drop."""
        # Drops that are mostly missed are simulated fast, so the search comes from below.
        low = int(self.tolerance / _STEP)
        high = low + 1
        while not self._is_found(high * _STEP):
            if high >= _LARGEST_STEPS:
                return None
            low, high = high, min(2 * high, _LARGEST_STEPS)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_found(middle * _STEP) else (middle, high)
        return high * _STEP

    def _is_found(self, drop: float) -> bool:
        """Return whether a drop is called regressed often enough; stop when that is certain."""
        missed, most = 0, round((1 - POWER) * _RUNS)
        for number, verdict in enumerate(self._verdicts(drop), 1):
            missed += verdict != "regressed"
            if missed > most or number - missed >= _RUNS - most:
                break
        return missed <= most

    def held(self) -> float:
        """Return the fraction of the harmless changes that are shown to hold."""
        return sum(verdict in ("identical", "held", "improved") for verdict in self._verdicts(0.0)) / _RUNS

    def _verdicts(self, drop: float) -> Iterator[Verdict]:
        """Yield the verdicts of simulated comparisons with a true drop."""
        # The same random numbers for every drop, so that the share found rises with the drop.
        rng = np.random.default_rng(_SEED)
        for _ in range(_RUNS):
            before, after = self._answers(drop, rng)
            if self.situation.is_random:
                yield self._verdict(before, after)
            else:
                yield self._verdict_on_flips(int((before & ~after).sum()), int((after & ~before).sum()))

    @functools.cache  # noqa: B019 - a simulation is short-lived
    def _verdict_on_flips(self, losses: int, gains: int) -> Verdict:
        """Return the verdict on one run, of which only the flips count."""
        before = np.arange(self.sentences) < losses
        after = np.arange(self.sentences) >= self.sentences - gains
        return self._verdict(before[None], after[None])

    def _verdict(self, before: np.ndarray, after: np.ndarray) -> Verdict:
        change = compare_accuracy(
            before,
            after,
            paired=True,
            same_examples=self._is_validation,
            is_random=self.situation.is_random,
            alpha=self.alpha,
            spread=self.situation.spread,
        )
        worse, better = (min(1.0, self.groups * p) for p in (change.p_worse, change.p_better))
        is_identical = not self.situation.is_random and bool((before == after).all())
        return verdict_of(change, worse, better, alpha=self.alpha, tolerance=self.tolerance, is_identical=is_identical)

    @property
    def _is_validation(self) -> bool:
        return self.sentences <= self.situation.validation_rows

    def _answers(self, drop: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return whether each sentence was answered rightly, before and after, bool, both of shape (seeds, sentences).

        A sentence has a probability of being answered rightly, from a beta distribution with the accuracy as its mean.
        Its variance is such that two runs disagree about the given fraction of the sentences. Each training then gains
        or loses answers at random, and each later run loses the drop.
        """
        mean, flips = self.situation.accuracy, self.situation.flips
        # Two runs disagree about 2 E[p (1 - p)] of the sentences; at most if all sentences are equally hard.
        variance = max(mean * (1 - mean) - flips / 2, 1e-9)
        size = mean * (1 - mean) / variance - 1
        shape = (1 if self._is_validation else self.seeds, self.sentences)
        chances = rng.beta(max(mean * size, 1e-9), max((1 - mean) * size, 1e-9), shape)
        sides = []
        for lost in (0.0, drop):
            right = rng.random((self.seeds, self.sentences)) < chances
            shifts = rng.normal(0.0, self.situation.seed_sd, self.seeds) - lost
            sides.append(np.array([_shifted(row, shift, rng) for row, shift in zip(right, shifts, strict=True)]))
        before, after = sides
        return before, after


def _shifted(right: np.ndarray, shift: float, rng: np.random.Generator) -> np.ndarray:
    """Return answers of which random ones were lost or gained, so that the accuracy changes by ``shift``."""
    order = rng.permutation(right.size)
    candidates = order[right[order] == (shift < 0)]
    shifted = right.copy()
    shifted[candidates[: round(abs(shift) * right.size)]] = shift > 0
    return shifted
