"""Simulate the verdict: its error rates, its power, single seeds that fail, sequential looks, and the advice.

    python tools/docs/verdicts.py [--only PART] [--runs N]

Prints the tables of docs/verdicts.md. Several parts take many minutes on one core; --only and --runs make it shorter.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_sst2.compare.family import CellTest, adjusted_p_values
from pytest_sst2.compare.futility import LEAST_CHANCE, chance_of_verdict
from pytest_sst2.compare.several_seeds import compare_accuracy
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.single_seeds import low_outliers
from pytest_sst2.compare.stopping_rule import planned_looks
from pytest_sst2.compare.training_spread import MINIMUM_SEEDS
from pytest_sst2.compare.verdict import verdict_of
from pytest_sst2.compare.would_decide import LEAST_PROBABILITY, PLANNED_SPREAD, Noise, probability
from pytest_sst2.config.options import ALPHA, TOLERANCE

ACCURACY = 0.8
POINT = 0.01


@dataclass(frozen=True)
class World:
    """What is true: seeds' sd, a drop spread over all sentences, and one in a set of sentences that all seeds lose.

    ``noise`` is the share of a sentence's difficulty that each training draws anew; it makes the flips. ``dependence``
    is the correlation of the same seed on both sides. ``later_sd`` is the later side's sd if it differs. ``shared`` is
    the share of sentences that all later seeds lose, and of those that all later seeds gain.
    """

    sentences: int = 872
    sd: float = 0.0
    drop: float = 0.0
    set_drop: float = 0.0
    noise: float = 0.05
    dependence: float = 0.0
    later_sd: float | None = None
    shared: float = 0.0
    accuracy: float = ACCURACY


def two_runs(
    rng: np.random.Generator, world: World, seeds: int, later_seeds: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each seed was right on each sentence, before and after, of shapes (S, n) and (S2, n)."""
    bar, density = _bar(world.accuracy)
    easiness = math.sqrt(1 - world.noise**2) * rng.standard_normal((1, world.sentences), dtype=np.float32)
    numbers = seeds, later_seeds or seeds
    common = math.sqrt(world.dependence) * rng.standard_normal((max(numbers), 1))

    def run(number: int, sd: float, drop: float) -> np.ndarray:
        own = math.sqrt(1 - world.dependence) * rng.standard_normal((number, 1))
        skill = ((common[:number] + own) * sd - drop) / density
        fresh = world.noise * rng.standard_normal((number, world.sentences), dtype=np.float32)
        right: np.ndarray = easiness + skill + fresh > bar
        return right

    later_sd = world.sd if world.later_sd is None else world.later_sd
    before, after = run(numbers[0], world.sd, 0.0), run(numbers[1], later_sd, world.drop)
    if world.set_drop:
        after &= rng.random(world.sentences) >= world.set_drop / world.accuracy
    if world.shared:
        right = world.accuracy - world.drop - world.set_drop
        after &= rng.random(world.sentences) >= world.shared / right
        after |= rng.random(world.sentences) < world.shared / (1 - right + world.shared)
    return before, after


@cache
def _bar(accuracy: float) -> tuple[float, float]:
    """Return the difficulty at which sentences are right with this frequency, and the density there."""
    bar = stats.norm.ppf(1 - accuracy)
    return float(bar), float(stats.norm.pdf(bar))


def compared(before: np.ndarray, after: np.ndarray, *, is_random: bool = True, alpha: float = ALPHA) -> AccuracyChange:
    """Compare seeds on the same sentences: paired if both sides have as many."""
    paired = len(before) == len(after)
    return compare_accuracy(before, after, paired=paired, same_examples=True, is_random=is_random, alpha=alpha)


@cache
def one_pair(losses: int, gains: int, sentences: int) -> AccuracyChange:
    """Compare two classifiers with these flips."""
    after = np.ones((1, sentences), dtype=bool)
    before = after.copy()
    after[0, :losses] = False
    before[0, losses : losses + gains] = False
    return compared(before, after, is_random=False)


def verdict(change: AccuracyChange, tolerance: float = TOLERANCE, cells: int = 1) -> str:
    """Return the verdict of a cell among ``cells`` others that were not rejected."""
    p_values = (min(1.0, cells * p) for p in (change.p_worse, change.p_better))
    return verdict_of(change, *p_values, alpha=ALPHA, tolerance=tolerance, is_identical=False)


def share(verdicts: Sequence[str], word: str) -> str:
    """Return the share of a verdict in percent."""
    return f"{100 * verdicts.count(word) / len(verdicts):.2f} %"


def table(title: str, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n")
    for row in (headers, ["---"] * len(headers), *rows):
        print(f"| {' | '.join(row)} |", flush=True)


def probes(runs: int, rng: np.random.Generator) -> None:
    """One classifier against one: sizes, shares held, power."""

    def verdicts(sentences: int, flips: float, drop: float, tolerance: float = TOLERANCE, cells: int = 1) -> list[str]:
        loss, gain = (flips + drop) / 2, (flips - drop) / 2
        counts = rng.multinomial(sentences, [loss, gain, 1 - loss - gain], size=10 * runs)[:, :2]
        return [verdict(one_pair(*pair, sentences), tolerance, cells) for pair in counts.tolist()]

    rows = []
    for sentences in (100, 250, 400, 872, 1500, 5000):
        for flips in (0.0, 0.01, 0.02, 0.04, 0.08, 0.2):
            same = verdicts(sentences, flips, 0.0)
            at_tolerance = share(verdicts(sentences, flips, TOLERANCE), "held") if flips >= TOLERANCE else "–"
            wider = share(verdicts(sentences, flips, 0.0, 2 * POINT), "held")
            numbers = share(same, "regressed"), at_tolerance, share(same, "held"), wider
            rows.append((f"{sentences:,}", f"{100 * flips:g} %", *numbers))
    headers = (
        "sentences",
        "flips",
        "regressed, no change",
        "held, drop of 1 point",
        "held, no change",
        "the same, tolerance 2",
    )
    table("One seed of a probe", headers, rows)
    rows = []
    for sentences in (400, 872, 5000):
        for drop in (2, 3, 5):
            of = verdicts(sentences, 0.04 + drop * POINT, drop * POINT, cells=3)
            numbers = share(of, "regressed"), share(of, "held")
            rows.append((f"{sentences:,}", f"{drop} points", *numbers))
    table(
        "Power of a probe in the default five cells, 2 % flips each way",
        ("sentences", "drop", "regressed", "held"),
        rows,
    )


_SEEDS = ((1, 1), (2, 2), (3, 3), (5, 5), (8, 8), (12, 12))
_UNEQUAL = ((1, 8), (8, 1), (2, 5), (3, 8), (8, 3), (5, 8))
_SETTINGS: tuple[tuple[World, tuple[tuple[int, int], ...]], ...] = (
    *((World(sentences=n, sd=sd * POINT), _SEEDS) for n in (250, 872, 1500, 5000) for sd in (0, 0.5, 1, 2)),
    *((World(sd=POINT, noise=noise), _SEEDS) for noise in (0.0, 0.02, 0.2, 0.5)),
    *((World(sd=sd * POINT, shared=0.02), _SEEDS) for sd in (0, 1)),
    (World(sentences=5000, sd=POINT / 2, shared=0.02), _SEEDS),
    (World(sd=POINT, shared=0.05), _SEEDS),
    *((World(sd=sd * POINT, later_sd=later * POINT), _SEEDS) for sd, later in ((2, 0), (0, 2), (0.5, 2), (2, 0.5))),
    *((World(sd=POINT, dependence=dependence), _SEEDS) for dependence in (0.7, 1.0)),
    (World(sd=POINT, accuracy=0.93), _SEEDS),
    *((World(sd=sd * POINT, later_sd=later * POINT), _UNEQUAL) for sd, later in ((1, 1), (0, 2), (2, 0))),
)


def several_seeds(runs: int, rng: np.random.Generator) -> None:
    """Several seeds: error rates, and harmless changes shown to hold."""
    headers = ("trainings", "seeds", "regressed, no change", "held, drop of 1 point", "in a set", "held, no change")
    table("Several seeds", headers, (row for world, numbers in _SETTINGS for row in _sizes(runs, rng, world, numbers)))


def _sizes(
    runs: int, rng: np.random.Generator, world: World, numbers: Sequence[tuple[int, int]]
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each pair of numbers of seeds."""
    changes = world, replace(world, drop=TOLERANCE), replace(world, set_drop=TOLERANCE)
    for before, after in numbers:
        same, lost, in_set = (
            [verdict(compared(*two_runs(rng, change, before, after))) for _ in range(runs)] for change in changes
        )
        shares = share(same, "regressed"), share(lost, "held"), share(in_set, "held"), share(same, "held")
        yield (_name(world), f"{before}" if before == after else f"{before} and {after}", *shares)


def power(runs: int, rng: np.random.Generator) -> None:
    """Several seeds in the default five cells: drops spread over all sentences, and in a set of them."""
    rows = []
    for seeds in (1, 3, 5, 8):
        for sd in (0, 0.5, 1, 2):
            numbers = []
            for change in ({"drop": 3 * POINT}, {"set_drop": 3 * POINT}, {"set_drop": 5 * POINT}):
                world = World(sd=sd * POINT, **change)
                of = [verdict(compared(*two_runs(rng, world, seeds)), cells=3) for _ in range(runs)]
                numbers.append(share(of, "regressed"))
            rows.append((str(seeds), f"{sd:g}", *numbers))
    headers = ("seeds", "sd", "3 points, all sentences", "3 points in a set", "5 points in a set")
    table("Power of trained cells in the default five cells, 872 sentences", headers, rows)


def _name(world: World) -> str:
    name = f"{world.sentences:,} sentences, sd {100 * world.sd:g}, noise {world.noise:g}"
    name += f", dependence {world.dependence:g}" if world.dependence else ""
    name += f", {100 * world.shared:g} % lost and gained by all" if world.shared else ""
    name += f", {100 * world.accuracy:g} % right" if world.accuracy != ACCURACY else ""
    return name if world.later_sd is None else f"{name}, later sd {100 * world.later_sd:g}"


def families(runs: int, rng: np.random.Generator) -> None:
    """False alarms in any of five cells: two probes that agree mostly, and others."""
    rows = []
    for agreement in (0.0, 0.5, 0.9, 1.0):
        alarms = 0
        for _ in range(4 * runs):
            flips = [rng.choice((-1, 1), size=30) for _ in range(4)]
            keep = rng.random(30) < agreement
            flips[1] = np.where(keep, flips[0], flips[1])
            sums = [int((signs == 1).sum()) for signs in flips]
            tests = [
                CellTest(one_pair(30 - gains, gains, 872).p_worse, 0.5**30, group)
                for gains, group in zip(sums, ("minilm", "minilm", "tfidf", "other"), strict=True)
            ]
            alarms += min(adjusted_p_values([*tests, CellTest(1.0, 1.0, "majority")], ALPHA)) <= ALPHA
        rows.append((f"{agreement:g}", f"{100 * alarms / (4 * runs):.2f} %"))
    table(
        "Any false alarm in five cells (30 flips each)",
        ("share of flips that the two probes have in common", "runs"),
        rows,
    )


def single_seeds(runs: int, rng: np.random.Generator) -> None:
    """One seed that fails: found, and false alarms."""
    rows = []
    for seeds in (2, 3, 5, 8):
        for sd in (0.5, 1, 2):
            found = alarms = 0
            for _ in range(2 * runs):
                before, after = (ACCURACY + sd * POINT * rng.standard_normal(seeds) for _ in range(2))
                alarms += bool(low_outliers(after, before, ALPHA))
                after[0] -= 0.2
                found += 0 in low_outliers(after, before, ALPHA)
            rows.append((str(seeds), f"{sd:g}", *(f"{100 * count / (2 * runs):.2f} %" for count in (found, alarms))))
    table("One seed that loses 20 points", ("seeds", "sd", "named", "false alarms"), rows)


def looks(runs: int, rng: np.random.Generator) -> None:
    """Sequential looks at one of four groups of cells: error rates, and trainings until the verdict."""
    rows = []
    changes = (
        ("none", {}),
        ("1 point", {"drop": POINT}),
        ("3 points", {"drop": 3 * POINT}),
        ("5", {"drop": 5 * POINT}),
    )
    for sd, later_sd in ((0.25, 0.25), (0.5, 0.5), (1, 1), (2, 2), (0.5, 1), (1, 0.5)):
        for name, change in changes:
            world = World(sd=sd * POINT, later_sd=later_sd * POINT, **change)
            for has_baseline in (True, False):
                verdicts, pairs = zip(*(_sequential(rng, world, has_baseline) for _ in range(runs)), strict=True)
                words = [share(verdicts, word) for word in ("regressed", "held")]
                kind = "baseline of 8" if has_baseline else "upgrade"
                rows.append((kind, f"{sd:g}, later {later_sd:g}", name, *words, f"{100 * np.mean(pairs) / 5:.0f} %"))
    headers = ("earlier side", "sd", "true drop", "regressed", "held", "trainings, of five pairs")
    table("Looks after 1, 3, 5 and 8 pairs; equal answers at the first look end at 20 % of five pairs", headers, rows)


def _sequential(rng: np.random.Generator, world: World, has_baseline: bool, cells: int = 4) -> tuple[str, int]:
    """Return the verdict and the number of later trainings; ``cells`` is the correction of p-values."""
    before, after = two_runs(rng, world, 8)
    plan = planned_looks(8)
    for look in plan:
        # Fewer than three common seeds are compared as draws, with all that the baseline has.
        known = before if has_baseline and look.seeds < MINIMUM_SEEDS else before[: look.seeds]
        level = look.share * ALPHA
        change = compared(known, after[: look.seeds], alpha=level)
        p_values = (min(1.0, cells * p) for p in (change.p_worse, change.p_better))
        word = verdict_of(change, *p_values, alpha=level, tolerance=TOLERANCE, is_identical=False)
        if word != "undecided" or look.seeds == 8:
            break
        limits = {"tolerance": TOLERANCE, "alpha": plan[-1].share * ALPHA, "cells": cells}
        if look.seeds >= MINIMUM_SEEDS and chance_of_verdict(known, after[: look.seeds], 8, **limits) < LEAST_CHANCE:
            break
    return word, look.seeds


def advice(runs: int, rng: np.random.Generator) -> None:
    """Probes that were undecided, measured again on the number of sentences that is said to decide them."""
    rows = []
    for flips in (0.02, 0.04, 0.08):
        for drop in (0.0, 0.01, 0.02, 0.03):
            of_world = _advised(rng, runs, flips + drop, drop)
            decided, followed, given = of_world
            if given:
                numbers = f"{followed}", f"{100 * decided / max(1, followed):.0f} %", f"{100 * followed / given:.0f} %"
                rows.append((f"{100 * flips:g} %", f"{100 * drop:g}", *numbers))
    headers = ("flips", "true drop", "undecided cells with advice", "decided after it", "share that got advice")
    table("What would decide a probe on 872 sentences", headers, rows)


def _advised(rng: np.random.Generator, runs: int, flips: float, drop: float) -> tuple[int, int, int]:
    decided = followed = given = 0
    rates = [(flips + drop) / 2, (flips - drop) / 2, 1 - flips]
    for losses, gains in rng.multinomial(872, rates, size=runs)[:, :2].tolist():
        change = one_pair(losses, gains, 872)
        if verdict(change) != "undecided":
            continue
        given += 1
        noise = Noise(change.discordance + 2 / 872, None, (change.delta - change.at_worst) / stats.norm.isf(ALPHA))
        for sentences in (5000, 10_000, 20_000, 40_000):
            enough = probability(noise, change.delta, TOLERANCE, ALPHA, 1, seeds=1, sentences=sentences)
            if enough >= LEAST_PROBABILITY:
                again = rng.multinomial(sentences, rates)[:2].tolist()
                followed += 1
                decided += verdict(one_pair(*again, sentences)) != "undecided"
                break
    return decided, followed, given


def advice_for_trainings(runs: int, rng: np.random.Generator) -> None:
    """Trainings that were undecided, measured again with the seeds and held-out sentences that would decide them."""
    rows = []
    for seeds, sd, change in (
        (1, 0.5, {}),
        (3, 0.25, {}),
        (3, 0.5, {}),
        (3, 1, {}),
        (1, 1, {"drop": 3 * POINT}),
        (3, 1, {"drop": 3 * POINT}),
        (3, 1, {"set_drop": 3 * POINT}),
    ):
        world = World(sd=sd * POINT, **change)
        results = [_followed(rng, world, seeds) for _ in range(max(1, runs // 50))]
        advised = [decided for decided in results if decided is not None]
        rows.append((str(seeds), f"{sd:g}", str(change or "none"), str(len(advised)), str(sum(advised))))
    table(
        "What would decide trainings", ("seeds", "sd", "true drop", "undecided with advice", "decided after it"), rows
    )


def _followed(rng: np.random.Generator, world: World, seeds: int) -> bool | None:
    """Return whether following the advice decided a cell; None if it was decided before or got no advice."""
    before, after = two_runs(rng, world, seeds)
    change = compared(before, after)
    if verdict(change) != "undecided":
        return None
    spreads = [side.mean(axis=1).var(ddof=1) if seeds > 2 else PLANNED_SPREAD**2 for side in (before, after)]
    of_sentences, of_seeds = change.discordance + 2 / world.sentences, float(sum(spreads))
    possible = (change.delta - change.at_worst) / stats.norm.isf(ALPHA)
    if change.variance_source:
        possible = math.sqrt(of_sentences / world.sentences + of_seeds / seeds)
    noise = Noise(of_sentences, of_seeds, possible)
    for number in (3, 5, 8, 12, 16, 24, 32, 48):
        size = {"seeds": number, "sentences": 5000 * number}
        if probability(noise, change.delta, TOLERANCE, ALPHA, 1, **size) >= LEAST_PROBABILITY:
            break
    else:
        return None
    # Each seed draws its own held-out sentences.
    sides = zip(*(two_runs(rng, replace(world, sentences=5000), 1) for _ in range(number)), strict=True)
    before, after = (np.concatenate(side) for side in sides)
    again = compare_accuracy(before, after, paired=True, same_examples=False, is_random=True, alpha=ALPHA)
    return verdict(again) != "undecided"


PARTS: dict[str, Callable[[int, np.random.Generator], None]] = {
    "probes": probes,
    "several-seeds": several_seeds,
    "power": power,
    "families": families,
    "single-seeds": single_seeds,
    "looks": looks,
    "advice": advice,
    "advice-for-trainings": advice_for_trainings,
}


def main() -> int:
    """Run the simulations and print their tables."""
    parser = argparse.ArgumentParser(description="Simulate the error rates and the power of the verdict.")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument(
        "--runs", type=int, default=2000, help="simulated comparisons per number (default: %(default)s)"
    )
    options = parser.parse_args()
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(options.runs, np.random.default_rng(20))
    return 0


if __name__ == "__main__":
    sys.exit(main())
