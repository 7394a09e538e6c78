"""Find the sentences whose predictions changed; without a baseline, the sentences with the most certain mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.results.record import Record


@dataclass(frozen=True)
class Predictions:
    """How many seeds of one side call a sentence positive, and their mean probability of the positive class."""

    positive: int
    seeds: int
    probability: float

    def correct(self, label: int) -> int:
        """Return how many seeds are right."""
        return self.positive if label else self.seeds - self.positive

    def probability_of(self, label: int) -> float:
        """Return the mean probability of a class."""
        return self.probability if label else 1 - self.probability


@dataclass(frozen=True)
class Flip:
    """A sentence that at least one seed classifies differently than before; without a baseline, a mistake.

    Attributes:
        row: Its index among the evaluation rows.
        seed: The seed that drew these rows; None if all seeds have the same rows.
        sentence: None if the data is not available.
        label: 0 negative, 1 positive.
    """

    row: int
    seed: int | None
    sentence: str | None
    label: int
    before: Predictions | None
    after: Predictions

    @property
    def lost_fraction(self) -> float:
        """Drop in the fraction of seeds that are right: 1 if all seeds lost it, −1 if all gained it."""
        after = self.after.correct(self.label) / self.after.seeds
        if self.before is None:
            return 1 - after
        return self.before.correct(self.label) / self.before.seeds - after

    @property
    def lost_probability(self) -> float:
        """Drop in the mean probability of the label; without a baseline, its distance from 1."""
        before = 1.0 if self.before is None else self.before.probability_of(self.label)
        return before - self.after.probability_of(self.label)


def flips(pairing: Pairing, sentences: Mapping[int, Sequence[str]]) -> list[Flip]:
    """Return the sentences whose predictions changed, the worst first.

    The worst are those that most seeds lost; among these, those whose label lost the most probability. ``sentences``
    are by seed, without the seeds whose data is not available.
    """
    changed = [
        Flip(row, seed, text, label, _predictions(old, row), _predictions(new, row))
        for old, new, seed in _same_rows(pairing)
        for row, text, label in _rows(new, old, sentences)
        if _is_changed(old, new, row)
    ]
    return _worst_first(changed)


def mistakes(records: Sequence[Record], sentences: Mapping[int, Sequence[str]]) -> list[Flip]:
    """Return the sentences that are classified wrongly, the most certain mistakes first."""
    pairing = Pairing(tuple(records), tuple(records), paired=True)
    predicted = [
        Flip(row, seed, text, label, None, _predictions(new, row))
        for _, new, seed in _same_rows(pairing)
        for row, text, label in _rows(new, new, sentences)
    ]
    return _worst_first([flip for flip in predicted if flip.lost_fraction])


def _worst_first(sentences: Sequence[Flip]) -> list[Flip]:
    return sorted(sentences, key=lambda flip: (-flip.lost_fraction, -flip.lost_probability, flip.row))


def _same_rows(pairing: Pairing) -> Iterator[tuple[Sequence[Record], Sequence[Record], int | None]]:
    """Yield groups of records, before and after, with the same evaluation rows, and the seed that drew them."""
    if pairing.same_examples:
        yield pairing.before, pairing.after, None if len(pairing.after) > 1 else pairing.after[0].seed
    else:
        for old, new in pairing.pairs:
            yield (old,), (new,), new.seed


def _rows(
    new: Sequence[Record], old: Sequence[Record], sentences: Mapping[int, Sequence[str]]
) -> Iterator[tuple[int, str | None, int]]:
    """Yield the index, text and label of each evaluation row."""
    labels = new[0].labels or old[0].labels
    texts = sentences.get(new[0].seed)
    for row, label in enumerate(labels):
        yield row, texts[row] if texts is not None else None, label


def _predictions(records: Sequence[Record], row: int) -> Predictions:
    return Predictions(
        sum(record.predictions[row] for record in records),
        len(records),
        float(np.mean([record.probabilities[row] for record in records])),
    )


def _is_changed(old: Sequence[Record], new: Sequence[Record], row: int) -> bool:
    """Return whether any seed predicts another class; for independent draws, whether another fraction does."""
    if len(old) == len(new) and [record.seed for record in old] == [record.seed for record in new]:
        return any(one.predictions[row] != other.predictions[row] for one, other in zip(old, new, strict=True))
    fractions = [sum(record.predictions[row] for record in side) / len(side) for side in (old, new)]
    return fractions[0] != fractions[1]
