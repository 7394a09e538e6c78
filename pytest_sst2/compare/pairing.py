"""Pairing: which records of two runs are of one cell, and which of their seeds and rows answer to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pytest_sst2.results.record import Record

CellKey = tuple[str | None, str]
"""Model (None for methods without one) and method."""


@dataclass(frozen=True)
class Pairing:
    """The records of one cell that are compared: pairs of one seed, or seeds of either side as draws.

    Attributes:
        before: One a seed.
        after: One a seed; where ``paired``, of the same seeds in the same order.
        paired: Whether seeds answer to each other.
    """

    before: tuple[Record, ...]
    after: tuple[Record, ...]
    paired: bool

    @property
    def pairs(self) -> list[tuple[Record, Record]]:
        """Records to compare one by one; where seeds are draws, one of each stands for all."""
        return list(zip(self.before, self.after, strict=True)) if self.paired else [(self.before[0], self.after[0])]

    @property
    def same_examples(self) -> bool:
        """Whether all seeds were asked the same sentences: a held-out slice is drawn by the seed."""
        return self.after[0].dataset.split == "validation"

    def right(self) -> tuple[np.ndarray, np.ndarray]:
        """Return for each seed and evaluation row whether it was classified right, before and after, both (S, n)."""
        # Where seeds are draws both sides have labels; where they are paired, each seed has its own.
        others = (self.after, self.before) if self.paired else (self.before, self.after)
        before = [right(old, new) for old, new in zip(self.before, others[0], strict=True)]
        after = [right(new, old) for new, old in zip(self.after, others[1], strict=True)]
        return np.array(before), np.array(after)


def right(record: Record, other: Record) -> np.ndarray:
    """Return for each evaluation row whether it was classified right; a record of schema 1 borrows the labels."""
    predictions, labels = np.asarray(record.predictions), np.asarray(record.labels or other.labels)
    return np.asarray(predictions == labels)


def by_cell(records: Iterable[Record]) -> dict[CellKey, dict[int, Record]]:
    """Return the records by model and method, and by seed; of several for one cell the first."""
    found: dict[CellKey, dict[int, Record]] = {}
    for record in records:
        found.setdefault((record.model, record.method), {}).setdefault(record.seed, record)
    return found


def pairing_of(old: Mapping[int, Record], new: Mapping[int, Record]) -> Pairing:
    """Pair the records of one cell: seeds that both sides have, else several seeds of each as draws, else one each."""
    if shared := [seed for seed in new if seed in old]:
        return Pairing(tuple(old[seed] for seed in shared), tuple(new[seed] for seed in shared), paired=True)
    if min(len(old), len(new)) > 1:
        return Pairing(tuple(old.values()), tuple(new.values()), paired=False)
    return Pairing((next(iter(old.values())),), (next(iter(new.values())),), paired=True)


def cell_name(key: CellKey) -> str:
    """Return ``minilm × linear-probe``, or ``tfidf`` for a method without a model."""
    return " × ".join(part for part in key if part)
