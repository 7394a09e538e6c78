"""Pair the records of two runs: by cell, then by seed and row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from pytest_sst2.results.record import Record

# The largest difference of a probability between two classifiers that count as the same.
PROBABILITY_TOLERANCE = 2e-3

CellKey = tuple[str | None, str]
"""Model (None for methods without a model) and method."""


@dataclass(frozen=True)
class Pairing:
    """The records of one cell that are compared: pairs with the same seed, or the seeds of each side as draws.

    Each side has one record per seed; if ``paired``, the same seeds in the same order.
    """

    before: tuple[Record, ...]
    after: tuple[Record, ...]
    paired: bool

    @property
    def pairs(self) -> list[tuple[Record, Record]]:
        """The pairs of records; for independent draws, the first record of each side."""
        return list(zip(self.before, self.after, strict=True)) if self.paired else [(self.before[0], self.after[0])]

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
    """Pair the records of one cell: by common seeds, else as several independent draws, else the first of each side."""
    if common := [seed for seed in new if seed in old]:
        return Pairing(tuple(old[seed] for seed in common), tuple(new[seed] for seed in common), paired=True)
    if min(len(old), len(new)) > 1:
        return Pairing(tuple(old.values()), tuple(new.values()), paired=False)
    return Pairing((next(iter(old.values())),), (next(iter(new.values())),), paired=True)


def cell_name(key: CellKey) -> str:
    """Return ``minilm × linear-probe``, or ``tfidf`` for a method without a model."""
    return " × ".join(part for part in key if part)
