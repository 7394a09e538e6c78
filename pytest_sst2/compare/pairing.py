"""Pair the records of two runs: by cell, then by seed and row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_sst2.compare.training_spread import MINIMUM_SEEDS, took_same_course, trains_in_steps
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import shorten

# From this number of pairs, a paired test of trainings is more powerful than one of draws. With fewer, its degrees of
# freedom cost more than the correlation of two trainings with the same seed is worth (below 0.4).
MINIMUM_PAIRS = 10

# The largest difference of a probability between two classifiers that count as the same.
PROBABILITY_TOLERANCE = 2e-3

CellKey = tuple[str | None, str]
"""Model (None for methods without a model) and method."""


@dataclass(frozen=True)
class Pairing:
    """The records of one cell that are compared: pairs with the same seed, or the seeds of each side as draws.

    Each side has one record per seed; if ``paired``, the same seeds in the same order. ``note`` says how seeds that
    only one side has are treated; empty if there are none. ``is_of_draws``: each seed has training rows of its own, and
    the comparison is about all rows that could have been drawn.
    """

    before: tuple[Record, ...]
    after: tuple[Record, ...]
    paired: bool
    note: str = ""
    is_of_draws: bool = False

    @property
    def pairs(self) -> list[tuple[Record, Record]]:
        """The pairs of records; for draws those with the same seed, or without any the first record of each side."""
        if self.paired:
            return list(zip(self.before, self.after, strict=True))
        old = {record.seed: record for record in self.before}
        common = [(old[record.seed], record) for record in self.after if record.seed in old]
        return common or [(self.before[0], self.after[0])]

    @property
    def is_random(self) -> bool:
        """Whether another training would give other classifiers: the seeds are draws, or a course differs."""
        return (
            self.is_of_draws
            or not self.paired
            or any(
                trains_in_steps(record) and not took_same_course(old, new)
                for old, new in self.pairs
                for record in (old, new)
            )
        )

    @property
    def same_examples(self) -> bool:
        """Whether all seeds have the same evaluation rows; a held-out slice is drawn by the seed."""
        return self.after[0].dataset.split == "validation"

    def earlier_key(self, key: CellKey) -> CellKey | None:
        """Return model and method of the earlier cell; None if they are those of ``key``."""
        earlier = (self.before[0].model, self.before[0].method)
        return None if earlier == key else earlier

    def with_labels(self) -> Pairing:
        """Return the pairing with the labels of the other side for records that have none (schema 1)."""

        def labelled(side: tuple[Record, ...], other: tuple[Record, ...]) -> tuple[Record, ...]:
            # Paired seeds each have their own labels; unpaired seeds all have those of the validation split.
            lenders = other if self.paired else (other[0],) * len(side)
            return tuple(
                record if record.labels else replace(record, labels=lender.labels)
                for record, lender in zip(side, lenders, strict=True)
            )

        return replace(self, before=labelled(self.before, self.after), after=labelled(self.after, self.before))

    def correctness(self) -> tuple[np.ndarray, np.ndarray]:
        """Return whether each seed classified each evaluation row correctly, before and after, both of shape (S, n)."""
        pairing = self.with_labels()
        before, after = (
            np.array([np.equal(record.predictions, record.labels) for record in side])
            for side in (pairing.before, pairing.after)
        )
        return before, after


def same_answers(pairing: Pairing) -> bool:
    """Return whether every answer is as before and no probability differs by more than rounding.

    Over 12 pairs of runs on a CPU (other threads, instruction sets, library releases, Python versions) probabilities
    differed by at most 3e-5; faults moved them by 0.01 or more. On an accelerator they must be equal.
    """
    if not pairing.paired:
        return False
    tolerance = PROBABILITY_TOLERANCE if pairing.after[0].environment.device == "cpu" else 0.0
    return all(
        tuple(old.predictions) == tuple(new.predictions)
        and np.allclose(old.probabilities, new.probabilities, rtol=0.0, atol=tolerance)
        and (old.fingerprint is not None and new.fingerprint is not None)
        for old, new in pairing.pairs
    )


def by_cell(records: Iterable[Record]) -> dict[CellKey, dict[int, Record]]:
    """Group the records by model and method, and then by seed; the first record of a cell and seed wins."""
    groups: dict[CellKey, dict[int, Record]] = {}
    for record in records:
        groups.setdefault((record.model, record.method), {}).setdefault(record.seed, record)
    return groups


def pair_records(old: Mapping[int, Record], new: Mapping[int, Record]) -> Pairing:
    """Pair the records of one cell by seed, or compare the seeds of each side as draws.

    Seeds that only one side has are left out if the common ones decide more: for probes, and for three or more pairs of
    trainings. Otherwise all seeds are draws, if one side has at least three.
    """
    common = [seed for seed in new if seed in old]
    paired = Pairing(tuple(old[seed] for seed in common), tuple(new[seed] for seed in common), paired=True)
    if len(common) == len(old) == len(new):
        return paired
    draws = Pairing(tuple(old.values()), tuple(new.values()), paired=False)
    can_draw = min(len(old), len(new)) > 1 or max(len(old), len(new)) >= MINIMUM_SEEDS
    if not common:
        return draws if can_draw else Pairing((draws.before[0],), (draws.after[0],), paired=True)
    is_nested = len(common) == min(len(old), len(new))
    is_same = is_nested and same_answers(paired)
    if can_draw and len(common) < MINIMUM_SEEDS and paired.is_random and not is_same:
        note = f"seeds overlap partly, so all are compared as draws: {_seeds(old)} before, {_seeds(new)} after"
        return replace(draws, note=note)
    others = [seed for seed in (*old, *new) if (seed in old) != (seed in new)]
    return replace(paired, note=f"compared on the common {_seeds(common)}; {_seeds(others)} on one side only")


def _seeds(seeds: Iterable[int]) -> str:
    """Return ``seed 7`` or ``seeds 1, 2, 3``."""
    names = [str(seed) for seed in seeds]
    return f"seed{'s' if len(names) > 1 else ''} {shorten(names)}"
