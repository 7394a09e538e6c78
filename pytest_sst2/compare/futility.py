"""Predict whether more seeds would decide an undecided cell, so that ``--sst2-seeds auto`` stops where they would not.

Stopping for futility leaves a cell undecided. It never makes a verdict, so the error rates stay as they are.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from pytest_sst2.compare.pairing import MINIMUM_PAIRS, Pairing
from pytest_sst2.compare.several_seeds import quantile, seed_variance, sentence_differences
from pytest_sst2.compare.training_spread import MINIMUM_SEEDS

# Simulated with drops of 0, 3 and 5 points, a stop below this chance lost a verdict in at most one run of a hundred.
LEAST_CHANCE = 0.2


def is_hopeless(pairing: Pairing, seeds: int, *, tolerance: float, alpha: float, cells: int) -> bool:
    """Return whether so many pairs of seeds would decide a cell with a probability below ``LEAST_CHANCE``.

    False for fewer than three pairs, which do not show the spread between trainings, and where training is not random.
    """
    if len(pairing.after) < MINIMUM_SEEDS or not pairing.paired or not pairing.is_random or not pairing.same_examples:
        return False
    before, after = pairing.correctness()
    return chance_of_verdict(before, after, seeds, tolerance=tolerance, alpha=alpha, cells=cells) < LEAST_CHANCE


def chance_of_verdict(
    before: np.ndarray, after: np.ndarray, seeds: int, *, tolerance: float, alpha: float, cells: int
) -> float:
    """Return the predictive probability that a cell is held, regressed or improved after ``seeds`` pairs.

    The mean over all pairs is normal around the present one, with the variance that the missing seeds have. The
    sentences stay the same, so their part of the margin does not shrink.

    Args:
        before: Whether each pair's earlier run was right on each sentence, bool, of shape (S, n); S is at least 3.
        after: The same for the later run.
        seeds: The pairs at the last look, more than there are now.
        tolerance: The drop in accuracy, a fraction, that the cell may have.
        alpha: The part of alpha that the last look spends.
        cells: By how much p-values are corrected.
    """
    known = len(before)
    of_seeds = seed_variance(before, after, paired=True, same_examples=True)
    differences = sentence_differences(before, after, paired=True, same_examples=True, is_random=True)
    delta = differences.mean
    of_pair = known * sum(part.variance for part in of_seeds.parts)
    of_sentences = max(differences.variance(delta) - of_seeds.residual, 0.0)
    degrees_of_freedom = seeds - 1 if seeds >= MINIMUM_PAIRS else 2 * (seeds - 1)

    def margin(level: float) -> float:
        squared = of_pair / seeds * quantile(degrees_of_freedom, level) ** 2
        return math.sqrt(squared + of_sentences * float(special.ndtri(level)) ** 2)

    fails_below = -max(tolerance, margin(alpha / cells))
    holds_above = min(margin(alpha) - tolerance, -fails_below)
    sd = math.sqrt(of_pair / known - of_pair / seeds)
    if not sd:
        return float(delta > holds_above or delta < fails_below)
    return float(special.ndtr((delta - holds_above) / sd) + special.ndtr((fails_below - delta) / sd))
