"""The change of a cell's accuracy, the exact McNemar test, and the interval of one accuracy.

Accuracies and deltas are fractions (0 to 1). Delta is after minus before, so a drop is negative. A *loss* is an example
that was right before and is wrong after; a *gain* is the reverse.
"""

from __future__ import annotations

from dataclasses import dataclass

from scipy import special

from pytest_sst2.results.record import Interval


@dataclass(frozen=True)
class AccuracyChange:
    """The accuracy of one cell before and after; with several seeds, the means over the seeds.

    Attributes:
        at_worst: One-sided lower bound of the true ``delta``, at a confidence of 1 - alpha.
        at_best: One-sided upper bound of the true ``delta``, at a confidence of 1 - alpha.
        p_worse: One-sided p-value against "the accuracy did not fall", not adjusted for the number of cells.
        p_better: One-sided p-value against "the accuracy did not rise", not adjusted for the number of cells.
        losses: Examples that fewer seeds got right after than before. If each seed has its own examples: the sum over
            paired seeds, 0 for unpaired ones.
        gains: The reverse of ``losses``.
        examples: Examples per seed.
        seeds: Pairs of runs; for unpaired runs, the smaller number of seeds.
        test: The name of the test, for a reader.
        discordance: The mean fraction of examples whose correctness changed; for unpaired runs, by how much the
            fractions of right seeds changed.
        least_p: The smallest p-value that these changes could have given, all of them losses.
        variance_source: Where the variance between trainings comes from, if not from these records; else empty.
    """

    before: float
    after: float
    delta: float
    at_worst: float
    at_best: float
    p_worse: float
    p_better: float
    losses: int
    gains: int
    examples: int
    seeds: int
    test: str
    discordance: float = 0.0
    least_p: float = 0.0
    variance_source: str = ""


def wilson_interval(correct: int, total: int) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson 1927, J. of the American Statistical Association 22).

    Raises:
        ValueError: ``total`` is not positive or ``correct`` is not between 0 and ``total``.
    """
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(round(float(interval.low), 6), round(float(interval.high), 6))


def mcnemar_p(losses: int, gains: int) -> float:
    """Return the one-sided p-value of the exact McNemar test against "no more losses than gains"; 1.0 for 0 and 0.

    It is a binomial tail: if nothing changed, a discordant example is as likely a gain as a loss (McNemar 1947,
    Psychometrika 12).

    Raises:
        ValueError: A count is negative.
    """
    if losses < 0 or gains < 0:
        raise ValueError(f"losses and gains must be counts of at least 0, not {losses} and {gains}.")
    return float(special.bdtr(gains, losses + gains, 0.5))
