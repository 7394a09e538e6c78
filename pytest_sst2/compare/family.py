"""Correct p-values for the number of cells, counting the probes of one embedding once.

Three rules make up the correction. Together they keep the probability of any false alarm in a comparison at alpha.

- Cells that cannot be called regressed, because too few of their sentences flipped, do not count (Tarone 1990,
  Biometrics 46). Which cells these are depends on the number of flips, not on their direction, so the level stays.
- The probes of one embedding are one group. Within a group the p-values are corrected by Hochberg's procedure (1988,
  Biometrika 75), which costs next to nothing where they agree. It needs independent or positively dependent tests, as
  those of probes of one embedding on the same sentences are.
- Between groups, Holm's procedure applies (1979, Scandinavian Journal of Statistics 6): with K groups each is tested at
  alpha / K, and a group stops to count when all its cells are rejected.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class CellTest(NamedTuple):
    """A cell's one-sided test.

    Attributes:
        p: Its p-value.
        least_p: The smallest p-value that its flips could have given; above alpha if it cannot be rejected at all.
        group: Cells with the same group count once.
    """

    p: float
    least_p: float
    group: Hashable


def adjusted_p_values(tests: Sequence[CellTest], alpha: float) -> list[float]:
    """Return the adjusted p-values in the same order; 1.0 for cells that do not count.

    Raises:
        ValueError: A p-value is not between 0 and 1.
    """
    if not all(0 <= test.p <= 1 for test in tests):
        raise ValueError(f"p-values must be between 0 and 1: {[test.p for test in tests]}.")
    groups: dict[Hashable, list[int]] = {}
    for index in _countable(tests, alpha):
        groups.setdefault(tests[index].group, []).append(index)
    adjusted = [1.0] * len(tests)
    for cells in groups.values():
        for index, p in zip(cells, hochberg([tests[index].p for index in cells]), strict=True):
            adjusted[index] = p
    # The groups in the order in which all their cells are rejected.
    ordered = sorted(groups.values(), key=lambda cells: max(adjusted[index] for index in cells))
    final = [1.0] * len(tests)
    rejected_at = 0.0
    for position, cells in enumerate(ordered):
        left = len(ordered) - position
        for index in (index for later in ordered[position:] for index in later):
            final[index] = min(final[index], max(rejected_at, left * adjusted[index]))
        rejected_at = max(rejected_at, left * max(adjusted[index] for index in cells))
    return final


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected by Holm's procedure, in the same order."""
    return adjusted_p_values([CellTest(p, 0.0, index) for index, p in enumerate(p_values)], alpha=1.0)


def _countable(tests: Sequence[CellTest], alpha: float) -> list[int]:
    """Return the indices of the cells that count: the smallest K such that at most K groups can reach alpha / K."""
    number = 1
    while True:
        able = [index for index, test in enumerate(tests) if test.least_p <= alpha / number]
        if len({tests[index].group for index in able}) <= number:
            return able
        number += 1


def hochberg(p_values: Sequence[float]) -> list[float]:
    """Return the p-values corrected by Hochberg's procedure, in the same order."""
    order = sorted(range(len(p_values)), key=lambda index: -p_values[index])
    adjusted, least = [1.0] * len(p_values), 1.0
    for factor, index in enumerate(order, 1):
        least = min(least, factor * p_values[index])
        adjusted[index] = least
    return adjusted
