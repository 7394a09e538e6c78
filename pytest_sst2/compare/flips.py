"""Flips: the sentences that a cell answers otherwise than it did; without a baseline, those it is most wrong about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.results.record import Record


@dataclass(frozen=True)
class Answer:
    """What the classifiers of one side say of a sentence.

    Attributes:
        positive: How many seeds answer that it is positive.
        seeds: Of how many.
        probability: Their mean probability of the positive class.
    """

    positive: int
    seeds: int
    probability: float

    def right(self, label: int) -> int:
        """Return how many seeds are right."""
        return self.positive if label else self.seeds - self.positive


@dataclass(frozen=True)
class Flip:
    """A sentence that is answered otherwise than before by at least one seed, or that is answered wrong.

    Attributes:
        row: Its number among the evaluation rows, from 0.
        seed: Whose rows these are; None where all seeds have the same.
        sentence: Its text; None where the data is not at hand.
        label: 0 negative, 1 positive.
        before: None without a baseline.
        after: Now.
    """

    row: int
    seed: int | None
    sentence: str | None
    label: int
    before: Answer | None
    after: Answer

    @property
    def lost_share(self) -> float:
        """Share of seeds that are right now, taken from that before: 1 for lost by all, −1 for won by all."""
        if self.before is None:
            return 1 - self.after.right(self.label) / self.after.seeds
        return self.before.right(self.label) / self.before.seeds - self.after.right(self.label) / self.after.seeds

    @property
    def lost_probability(self) -> float:
        """By how much the label's probability fell."""
        now = self.after.probability if self.label else 1 - self.after.probability
        if self.before is None:
            return 1 - now
        then = self.before.probability if self.label else 1 - self.before.probability
        return then - now


def flips(pairing: Pairing, sentences: Mapping[int, Sequence[str]]) -> list[Flip]:
    """Return the sentences that are answered otherwise than before, the worst first.

    Worst is what most seeds had right and now have wrong; among these, whose label lost most probability.

    Args:
        pairing: The records of one cell.
        sentences: The evaluation sentences by seed; a seed whose data is not at hand is left out.
    """
    found = [
        Flip(row, seed, text, label, _answer(old, row), _answer(new, row))
        for old, new, seed in _same_rows(pairing)
        for row, text, label in _rows(new, old, sentences)
        if _changed(old, new, row)
    ]
    return sorted(found, key=lambda flip: (-flip.lost_share, -flip.lost_probability, flip.row))


def mistakes(records: Sequence[Record], sentences: Mapping[int, Sequence[str]]) -> list[Flip]:
    """Return the sentences that are answered wrong, the surest first.

    Args:
        records: Those of one cell, one a seed.
        sentences: The evaluation sentences by seed, as for ``flips``.
    """
    pairing = Pairing(tuple(records), tuple(records), paired=True)
    found = [
        Flip(row, seed, text, label, None, _answer(new, row))
        for _, new, seed in _same_rows(pairing)
        for row, text, label in _rows(new, new, sentences)
    ]
    wrong = [flip for flip in found if flip.lost_share]
    return sorted(wrong, key=lambda flip: (-flip.lost_share, -flip.lost_probability, flip.row))


def _same_rows(pairing: Pairing) -> Iterator[tuple[Sequence[Record], Sequence[Record], int | None]]:
    """Yield the records, before and after, that were asked the same sentences."""
    if pairing.same_examples:
        yield pairing.before, pairing.after, None if len(pairing.after) > 1 else pairing.after[0].seed
    else:
        for old, new in pairing.pairs:
            yield (old,), (new,), new.seed


def _rows(
    new: Sequence[Record], old: Sequence[Record], sentences: Mapping[int, Sequence[str]]
) -> Iterator[tuple[int, str | None, int]]:
    labels = new[0].labels or old[0].labels
    texts = sentences.get(new[0].seed)
    for row, label in enumerate(labels):
        yield row, texts[row] if texts is not None else None, label


def _answer(records: Sequence[Record], row: int) -> Answer:
    return Answer(
        sum(record.predictions[row] for record in records),
        len(records),
        float(np.mean([record.probabilities[row] for record in records])),
    )


def _changed(old: Sequence[Record], new: Sequence[Record], row: int) -> bool:
    """Tell whether a seed answers otherwise; where seeds are draws, whether another share of them does."""
    if len(old) == len(new) and [record.seed for record in old] == [record.seed for record in new]:
        return any(one.predictions[row] != other.predictions[row] for one, other in zip(old, new, strict=True))
    shares = [sum(record.predictions[row] for record in each) / len(each) for each in (old, new)]
    return shares[0] != shares[1]
