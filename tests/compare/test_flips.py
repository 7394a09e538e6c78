"""Test the sentences whose predictions changed, the worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_sst2.compare.flips import Flip, flips, mistakes
from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.results.record import Record
from tests.support.record_factory import make_record

LABELS = (1, 0, 1, 0)
TEXTS = ("first", "second", "third", "fourth")


def predicted(*probabilities: float, seed: int = 42, split: str = "validation") -> Record:
    base = make_record()
    return dataclasses.replace(
        base,
        seed=seed,
        labels=LABELS,
        probabilities=probabilities,
        predictions=tuple(int(probability > 0.5) for probability in probabilities),
        dataset=dataclasses.replace(base.dataset, split=split),
    )


def pair(before: Sequence[Record], after: Sequence[Record], *, paired: bool = True) -> Pairing:
    return Pairing(tuple(before), tuple(after), paired=paired)


def texts(flips: Sequence[Flip]) -> list[str | None]:
    return [flip.sentence for flip in flips]


def test_losses_come_before_gains_and_the_largest_loss_of_probability_first() -> None:
    before = predicted(0.9, 0.1, 0.6, 0.7)
    after = predicted(0.4, 0.9, 0.2, 0.3)
    changed = flips(pair([before], [after]), {42: TEXTS})
    assert texts(changed) == ["second", "first", "third", "fourth"]
    assert [flip.lost_fraction for flip in changed] == [1, 1, 1, -1]


def test_a_prediction_that_stays_is_not_a_flip_whatever_its_probability() -> None:
    assert flips(pair([predicted(0.9, 0.1, 0.9, 0.1)], [predicted(0.51, 0.5, 0.51, 0.5)]), {42: TEXTS}) == []


def test_seeds_with_the_same_sentences_are_counted_together() -> None:
    before = [predicted(0.9, 0.1, 0.9, 0.1, seed=seed) for seed in (1, 2, 3)]
    after = [
        predicted(0.2, 0.1, 0.9, 0.1, seed=1),
        predicted(0.3, 0.1, 0.4, 0.1, seed=2),
        predicted(0.8, 0.1, 0.9, 0.1, seed=3),
    ]
    first, third = flips(pair(before, after), dict.fromkeys((1, 2, 3), TEXTS))
    assert (first.sentence, first.seed, first.after.positive, first.after.seeds) == ("first", None, 1, 3)
    assert round(first.lost_fraction, 4) == 0.6667
    assert (third.sentence, third.after.positive) == ("third", 2)


def test_seeds_with_their_own_sentences_are_kept_apart() -> None:
    before = [predicted(0.9, 0.1, 0.9, 0.1, seed=seed, split="heldout") for seed in (1, 2)]
    after = [predicted(0.2, 0.1, 0.9, 0.1, seed=seed, split="heldout") for seed in (1, 2)]
    changed = flips(pair(before, after), {1: TEXTS, 2: ("other", "b", "c", "d")})
    assert [(flip.seed, flip.sentence) for flip in changed] == [(1, "first"), (2, "other")]


def test_independent_draws_flip_if_their_fraction_of_positives_changes() -> None:
    before = [predicted(0.9, 0.1, 0.9, 0.1, seed=1), predicted(0.9, 0.9, 0.9, 0.1, seed=2)]
    after = [predicted(0.9, 0.9, 0.9, 0.1, seed=3), predicted(0.9, 0.1, 0.2, 0.1, seed=4)]
    assert texts(flips(pair(before, after, paired=False), {3: TEXTS, 4: TEXTS})) == ["third"]


def test_a_flip_without_its_sentence_has_its_row() -> None:
    (flip,) = flips(pair([predicted(0.9, 0.1, 0.9, 0.1)], [predicted(0.9, 0.1, 0.9, 0.9)]), {})
    assert (flip.row, flip.sentence, flip.label) == (3, None, 0)


def test_without_a_baseline_the_most_certain_mistakes_come_first() -> None:
    wrong = mistakes([predicted(0.4, 0.95, 0.9, 0.1)], {42: TEXTS})
    assert [(flip.sentence, flip.before, round(flip.lost_probability, 2)) for flip in wrong] == [
        ("second", None, 0.95),
        ("first", None, 0.6),
    ]
