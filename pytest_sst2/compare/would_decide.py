"""Say what would decide an undecided cell: more evaluation sentences, or more seeds, with the time they take.

The prediction uses the flips and the spread between seeds that were seen. A new measurement is normal with a variance
that shrinks with sentences and seeds. It decides the cell if its lower bound exceeds minus the tolerance, or its upper
bound is below 0 and the drop exceeds the tolerance. What is suggested decides the cell with a probability of at least
90 % if nothing changed, and 80 % on average over the true changes that the present measurement leaves possible. Changes
close to the tolerance stay undecided on any number of sentences.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from scipy import special

from pytest_sst2.compare.pairing import MINIMUM_PAIRS, Pairing
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.config.recipes import HELDOUT_DEFAULT_SIZE
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import duration, points_text

LEAST_PROBABILITY = 0.9
_LEAST_ON_AVERAGE = 0.8
# The spread between trainings where fewer than three seeds were measured.
PLANNED_SPREAD = 0.01
_SEEDS = (3, 5, 8, 12, 16, 24, 32, 48)
_SENTENCES = (HELDOUT_DEFAULT_SIZE, 10_000, 20_000, 40_000, 60_000)
# Rows of SST-2's training split, which held-out sentences come from.
_ROWS_OF_SST2 = 67_349
# Phases whose time grows with the evaluation sentences.
_PHASES_OF_SENTENCES = ("tokenize", "encode", "predict", "evaluate")


@dataclass(frozen=True)
class Noise:
    """What a new measurement's variance consists of.

    Attributes:
        of_sentences: Variance of one sentence's difference.
        of_seeds: Variance between pairs of trainings; None if training is not random.
        possible: Standard error of the present measurement.
    """

    of_sentences: float
    of_seeds: float | None
    possible: float


def would_decide(
    pairing: Pairing, change: AccuracyChange, *, tolerance: float, alpha: float, cells: int, both: bool = False
) -> str:
    """Return what would decide a cell, such as ``5 seeds (about 6 min)``; the alternatives are joined by "or".

    ``cells`` is the number of cells that share ``alpha``. With ``both``, the time is that of both sides.
    """
    noise = _noise(pairing, change, alpha)
    size, limit = pairing.after[0].total, _most_sentences(pairing.after[0])
    question = _Question(pairing, noise, change.delta, tolerance, alpha, cells, both)
    options = [question.seeds_option(size)] if noise.of_seeds is not None else []
    for sentences in (count for count in _SENTENCES if size < count <= limit):
        options.append(
            question.sentences_option(sentences) if noise.of_seeds is None else question.seeds_option(sentences)
        )
        if options[-1]:
            break
    if any(options):
        return " or ".join(filter(None, options))
    return _beyond_reach(change, size, limit, tolerance, is_random=noise.of_seeds is not None)


@dataclass(frozen=True)
class _Question:
    """An undecided cell, and when it counts as decided; ``both`` sides are of one run."""

    pairing: Pairing
    noise: Noise
    delta: float
    tolerance: float
    alpha: float
    cells: int
    both: bool

    def seeds_option(self, sentences: int) -> str:
        """Return the smallest sufficient number of seeds on so many sentences; empty if none suffices."""
        is_more = sentences != self.pairing.after[0].total
        present = min(len(self.pairing.before), len(self.pairing.after))
        for seeds in _SEEDS:
            # Held-out sentences are drawn by the seed, so seeds multiply them.
            if (is_more or seeds > present) and self._is_decided(seeds, sentences * seeds if is_more else sentences):
                where, time = self._cost(seeds, sentences, is_new=is_more or seeds > len(self.pairing.before))
                return f"{seeds} seeds{f' with {_flags(sentences)}' if is_more else ''}{where} ({time})"
        return ""

    def sentences_option(self, sentences: int) -> str:
        """Return the option that evaluates on so many sentences; empty if they do not suffice."""
        seeds = len(self.pairing.after)
        if not self._is_decided(seeds, sentences):
            return ""
        where, time = self._cost(seeds, sentences, is_new=True)
        return f"{_flags(sentences)}{where} ({sentences:,} sentences, {time})"

    def _is_decided(self, seeds: int, sentences: int) -> bool:
        chance = probability(
            self.noise, self.delta, self.tolerance, self.alpha, self.cells, seeds=seeds, sentences=sentences
        )
        return chance >= LEAST_PROBABILITY

    def _cost(self, seeds: int, sentences: int, *, is_new: bool) -> tuple[str, str]:
        """Return which sides to measure and the time; ``is_new`` tells whether the earlier side lacks it."""
        sides = (self.pairing.before, self.pairing.after) if self.both else (self.pairing.after,)
        seconds = sum(statistics.median([run_seconds(record, sentences) for record in side]) for side in sides)
        time = f"about {duration(max(1.0, seeds * seconds))}"
        return (" on both sides", f"{time} each") if is_new and not self.both else ("", time)


def _noise(pairing: Pairing, change: AccuracyChange, alpha: float) -> Noise:
    of_seeds = None
    if pairing.is_random:
        spreads = [
            statistics.variance([record.accuracy for record in side]) if len(side) > 2 else PLANNED_SPREAD**2
            for side in (pairing.before, pairing.after)
        ]
        of_seeds = sum(spreads)
    # At least one flip more on each side, so that a run without flips does not promise too much.
    of_sentences = change.discordance + 2 / change.examples
    possible = (change.delta - change.at_worst) / -float(special.ndtri(alpha))
    if change.variance_source and of_seeds is not None:  # an upper figure says nothing of what is likely
        possible = math.sqrt(of_sentences / change.examples + of_seeds / max(1, change.seeds))
    return Noise(of_sentences, of_seeds, possible)


def probability(
    noise: Noise, delta: float, tolerance: float, alpha: float, cells: int, *, seeds: int, sentences: int
) -> float:
    """Return the probability that a new measurement decides the cell if nothing changed.

    It is 0 if it decides too few of the changes that are possible.
    """
    variance = noise.of_sentences / sentences
    quantiles = [-float(special.ndtri(level)) for level in (alpha, alpha / cells)]
    margins = [quantile * math.sqrt(variance) for quantile in quantiles]
    if noise.of_seeds is not None:
        of_seeds = noise.of_seeds / seeds
        degrees_of_freedom = seeds - 1 if seeds >= MINIMUM_PAIRS else 2 * (seeds - 1)
        t = [-float(special.stdtrit(degrees_of_freedom, level)) for level in (alpha, alpha / cells)]
        margins = [
            math.hypot(margin, quantile * math.sqrt(of_seeds)) for margin, quantile in zip(margins, t, strict=True)
        ]
        variance += of_seeds

    def decided(mean: float, sd: float) -> float:
        held = special.ndtr((mean + tolerance - margins[0]) / sd)
        regressed = special.ndtr((-max(tolerance, margins[1]) - mean) / sd)
        return float(held + regressed)

    on_average = decided(delta, math.hypot(noise.possible, math.sqrt(variance)))
    return decided(0.0, math.sqrt(variance)) if on_average >= _LEAST_ON_AVERAGE else 0.0


def _flags(sentences: int) -> str:
    size = "" if sentences == HELDOUT_DEFAULT_SIZE else f" --sst2-eval-size {sentences}"
    return f"--sst2-eval heldout{size}"


def _most_sentences(record: Record) -> int:
    """Return how many sentences the data set has to evaluate on; that of the present ones if it is not SST-2."""
    if record.dataset.name != "sst2":
        return record.total
    return _ROWS_OF_SST2 - record.dataset.train_size - 1


def _beyond_reach(change: AccuracyChange, size: int, limit: int, tolerance: float, *, is_random: bool) -> str:
    """Return the tolerance that decides a cell, and what is too little for the present one."""
    sufficient = math.ceil(-1000 * change.at_worst) / 10
    seeds = f"{_SEEDS[-1]} seeds" if is_random else ""
    if limit > size:
        tried = " and ".join(filter(None, [seeds, "SST-2's other sentences"]))
    else:
        tried = f"{seeds} on these {size:,} sentences" if seeds else f"these {size:,} sentences"
    return f"a tolerance above {sufficient:.1f} points ({tried} are too few for {points_text(tolerance)})"


def run_seconds(record: Record, sentences: int) -> float:
    """Return the seconds of a run of one cell on so many evaluation sentences, from the phases of a record."""
    more = sentences - record.total
    return sum(
        phase.seconds * (1 + more / phase.examples if phase.name in _PHASES_OF_SENTENCES and phase.examples else 1)
        for phase in record.phases
    )
