"""``--sst2-seeds auto``: after which seeds a cell is looked at, and whether a look decides it.

Each look spends a part of alpha, so the probability of any false verdict over all looks is at most alpha, for any
dependence between them (Bonferroni; for group sequential tests in general: Pocock 1977, Biometrika 64). A cell that
all seeds would hardly decide gets no more of them (``futility``).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.futility import is_hopeless
from pytest_sst2.compare.pairing import CellKey, pair_records
from pytest_sst2.compare.training_spread import shared_encoder
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look
from pytest_sst2.results.record import Record


class PlannedLook(NamedTuple):
    """A look after a number of seeds, and the share of alpha that it spends."""

    seeds: int
    share: float


# The last look is after all seeds, which are 8 unless the baseline has others.
_EARLIER_LOOKS = (PlannedLook(1, 0.2), PlannedLook(3, 0.2), PlannedLook(5, 0.2))


def planned_looks(seeds: int) -> tuple[PlannedLook, ...]:
    """Return the looks at a cell with a number of seeds. The last one has all seeds and the rest of alpha."""
    earlier = tuple(look for look in _EARLIER_LOOKS if look.seeds < seeds)
    return (*earlier, PlannedLook(seeds, 1 - sum(look.share for look in earlier)))


@dataclass(frozen=True)
class Limits:
    """What the verdicts of a run are held against.

    Attributes:
        tolerance: The drop in accuracy, a fraction, that a cell may have.
        alpha: The significance level of the whole comparison.
        groups: From each compared cell to the group of cells that it is corrected with (``family``).
    """

    tolerance: float
    alpha: float
    groups: Mapping[CellKey, Hashable]

    def correction(self, record: Record) -> int:
        """Return a factor of the p-values of a record's cell that no correction for all cells exceeds.

        It is the number of groups times the cells of its own group, as far as its model tells.
        """
        own = sum(model == record.model for model, _ in self.groups) if shared_encoder(record) else 1
        return max(1, len(set(self.groups.values()))) * max(1, own)


def groups_of(before: Mapping[CellKey, Mapping[int, Record]]) -> dict[CellKey, Hashable]:
    """Return the group of each cell: the model for probes of one embedding, else the cell; from records by seed."""
    return {key: shared_encoder(next(iter(records.values()))) or key for key, records in before.items()}


def taken_look(
    look: Look,
    before: Sequence[Record],
    after: Sequence[Record],
    plan: Sequence[PlannedLook],
    limits: Limits,
    declared: Declared = NOTHING_DECLARED,
) -> Look:
    """Return a look at one cell with its verdict; ``undecided`` if the cell cannot be compared without an error.

    Args:
        look: The look; its verdict is ignored.
        before: The earlier records of the cell.
        after: The later records of the cell, of the seeds of the look.
        plan: All looks at the cell.
        limits: What the verdict is held against.
        declared: What changed on purpose in this cell.
    """
    try:
        return _taken_look(look, before, after, plan, limits, declared)
    except Exception:  # reported when the whole run is compared; until then every seed is measured
        return replace(look, verdict="undecided")


def _taken_look(
    look: Look,
    before: Sequence[Record],
    after: Sequence[Record],
    plan: Sequence[PlannedLook],
    limits: Limits,
    declared: Declared,
) -> Look:
    later = Results(after, (), looks=(look,))
    tolerance, alpha, correction = limits.tolerance, limits.alpha, limits.correction(after[0])
    (cell,) = compare(Results(before, ()), later, tolerance=tolerance, alpha=alpha, declared=declared).cells
    is_certain = bool(cell.failed_seeds) or (cell.adjusted_p or 0.0) * correction <= alpha
    verdict = "undecided" if cell.verdict == "regressed" and not is_certain else cell.verdict
    last = plan[-1]
    if verdict != "undecided" or len(look.seeds) == last.seeds:
        return replace(look, verdict=verdict)
    pairing = pair_records(*({record.seed: record for record in side} for side in (before, after)))
    of_last = {"tolerance": cell.tolerance, "alpha": last.share * alpha}
    return replace(look, verdict=verdict, is_hopeless=is_hopeless(pairing, last.seeds, **of_last, cells=correction))
