"""Flips: what is answered otherwise than before, the worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pytest_sst2.compare.flips import Flip, flips, mistakes
from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.results.record import Record
from tests.support.record_factory import make_record

LABELS = (1, 0, 1, 0)
TEXTS = ("first", "second", "third", "fourth")


def says(*probabilities: float, seed: int = 42, split: str = "validation") -> Record:
    base = make_record()
    return dataclasses.replace(
        base,
        seed=seed,
        labels=LABELS,
        probabilities=probabilities,
        predictions=tuple(int(each > 0.5) for each in probabilities),
        dataset=dataclasses.replace(base.dataset, split=split),
    )


def pair(before: Sequence[Record], after: Sequence[Record], *, paired: bool = True) -> Pairing:
    return Pairing(tuple(before), tuple(after), paired=paired)


def texts(found: Sequence[Flip]) -> list[str | None]:
    return [flip.sentence for flip in found]


def test_losses_come_before_gains_and_the_surest_loss_first() -> None:
    before = says(0.9, 0.1, 0.6, 0.7)
    after = says(0.4, 0.9, 0.2, 0.3)
    found = flips(pair([before], [after]), {42: TEXTS})
    assert texts(found) == ["second", "first", "third", "fourth"]
    assert [flip.lost_fraction for flip in found] == [1, 1, 1, -1]


def test_an_answer_that_stays_is_no_flip_however_its_probability_moves() -> None:
    assert flips(pair([says(0.9, 0.1, 0.9, 0.1)], [says(0.51, 0.5, 0.51, 0.5)]), {42: TEXTS}) == []


def test_seeds_that_had_the_same_sentences_are_counted_together() -> None:
    before = [says(0.9, 0.1, 0.9, 0.1, seed=seed) for seed in (1, 2, 3)]
    after = [says(0.2, 0.1, 0.9, 0.1, seed=1), says(0.3, 0.1, 0.4, 0.1, seed=2), says(0.8, 0.1, 0.9, 0.1, seed=3)]
    first, third = flips(pair(before, after), dict.fromkeys((1, 2, 3), TEXTS))
    assert (first.sentence, first.seed, first.after.positive, first.after.seeds) == ("first", None, 1, 3)
    assert round(first.lost_fraction, 4) == 0.6667
    assert (third.sentence, third.after.positive) == ("third", 2)


def test_seeds_that_each_had_sentences_of_their_own_are_kept_apart() -> None:
    before = [says(0.9, 0.1, 0.9, 0.1, seed=seed, split="heldout") for seed in (1, 2)]
    after = [says(0.2, 0.1, 0.9, 0.1, seed=seed, split="heldout") for seed in (1, 2)]
    found = flips(pair(before, after), {1: TEXTS, 2: ("other", "b", "c", "d")})
    assert [(flip.seed, flip.sentence) for flip in found] == [(1, "first"), (2, "other")]


def test_seeds_as_draws_flip_where_their_share_changes() -> None:
    before = [says(0.9, 0.1, 0.9, 0.1, seed=1), says(0.9, 0.9, 0.9, 0.1, seed=2)]
    after = [says(0.9, 0.9, 0.9, 0.1, seed=3), says(0.9, 0.1, 0.2, 0.1, seed=4)]
    assert texts(flips(pair(before, after, paired=False), {3: TEXTS, 4: TEXTS})) == ["third"]


def test_a_flip_without_its_sentence_keeps_its_row() -> None:
    (found,) = flips(pair([says(0.9, 0.1, 0.9, 0.1)], [says(0.9, 0.1, 0.9, 0.9)]), {})
    assert (found.row, found.sentence, found.label) == (3, None, 0)


def test_without_a_baseline_the_surest_mistakes_come_first() -> None:
    found = mistakes([says(0.4, 0.95, 0.9, 0.1)], {42: TEXTS})
    assert [(flip.sentence, flip.before, round(flip.lost_probability, 2)) for flip in found] == [
        ("second", None, 0.95),
        ("first", None, 0.6),
    ]
