"""Test which sentences belong to which slice, and the scores of a cell on part."""

from __future__ import annotations

import pytest

from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.slices import Slice, most_changed, score_slices, slices_of
from pytest_sst2.data.pocket import pocket_kinds
from tests.support.record_factory import answered, make_record


def rows_of(slices: list[Slice], name: str) -> list[int]:
    return next(part for part in slices if part.name == name).rows.nonzero()[0].tolist()


def test_lengths_are_counted_in_words_without_lone_punctuation() -> None:
    five, six = "a b c d e .", "a b c d e f ."
    slices = slices_of([five] * 5 + [six] * 5)
    assert rows_of(slices, "1–5 words") == [0, 1, 2, 3, 4]
    assert rows_of(slices, "6–10 words") == [5, 6, 7, 8, 9]


def test_a_slice_of_fewer_than_five_sentences_is_not_shown() -> None:
    slices = slices_of(["short one"] * 4 + ["a rather longer one that goes on"] * 6)
    assert [part.name for part in slices] == ["6–10 words", "without negation or contrast"]


@pytest.mark.parametrize(
    "sentence", ["it is not good", "it does n't work", "it DOESN'T work", "it doesn’t work", "never , ever", "“Never”!"]
)
def test_negation_is_found_however_it_is_written(sentence: str) -> None:
    slices = slices_of([sentence] * 5 + ["a nothingness of a notable film"] * 5)
    assert rows_of(slices, "with negation") == [0, 1, 2, 3, 4]
    assert rows_of(slices, "without negation or contrast") == [5, 6, 7, 8, 9]


def test_a_sentence_may_be_of_both_kinds_of_words() -> None:
    slices = slices_of(["not good but long"] * 5)
    assert [part.name for part in slices] == ["1–5 words", "with negation", "with contrast"]


def test_kinds_are_those_of_the_pocket_set_and_of_no_other_data() -> None:
    pocket = list(pocket_kinds())[:200]
    named = [part.name for part in slices_of(pocket) if part.group == "kind"]
    assert set(named) <= {"plain", "negation", "contrast", "irony", "comparison", "understatement"}
    assert "plain" in named
    assert not [part for part in slices_of([*pocket, "one more"]) if part.group == "kind"]


def test_no_sentences_are_no_slices() -> None:
    assert slices_of([]) == []


SENTENCES = ["it is not good at all"] * 6 + ["fine"] * 6


def test_a_slice_is_compared_sentence_by_sentence() -> None:
    before, after = answered([True] * 12), answered([False] * 5 + [True] * 7)
    scores = score_slices(Pairing((before,), (after,), paired=True), {42: SENTENCES}, compared=True)
    negation = next(score for score in scores if score.name == "with negation")
    assert (negation.examples, negation.accuracy) == (6, pytest.approx(1 / 6))
    assert negation.change is not None
    assert negation.change.delta == pytest.approx(-5 / 6)
    assert negation.change.p_worse == pytest.approx(0.5**5)
    assert [score.name for _, score, _ in most_changed([("a cell", score) for score in scores])] == [
        "6–10 words",
        "with negation",
    ]


def test_without_a_baseline_there_is_an_accuracy_and_no_change() -> None:
    record = answered([True] * 9 + [False] * 3)
    scores = score_slices(Pairing((record,), (record,), paired=True), {42: SENTENCES}, compared=False)
    assert [(score.name, score.accuracy, score.change) for score in scores] == [
        ("1–5 words", 0.5, None),
        ("6–10 words", 1.0, None),
        ("with negation", 1.0, None),
        ("without negation or contrast", 0.5, None),
    ]
    assert most_changed([("a cell", score) for score in scores]) == []


def test_several_seeds_on_the_same_sentences_are_tested_as_seeds() -> None:
    before = tuple(answered([True] * 12, seed=seed) for seed in (1, 2, 3))
    after = tuple(answered([False] * 6 + [True] * 6, seed=seed) for seed in (1, 2, 3))
    scores = score_slices(Pairing(before, after, paired=True), dict.fromkeys((1, 2, 3), SENTENCES), compared=True)
    change = next(score.change for score in scores if score.name == "with negation")
    assert change is not None
    assert (change.seeds, change.delta) == (3, -1.0)


def test_held_out_rows_of_several_seeds_are_pooled() -> None:
    data = make_record().dataset
    held_out = [answered([True] * 12, seed=seed) for seed in (1, 2)]
    records = tuple(
        answered([True] * 12, seed=record.seed, dataset=type(data)(**{**vars(data), "split": "heldout"}))
        for record in held_out
    )
    other = ["fine"] * 12
    scores = score_slices(Pairing(records, records, paired=True), {1: SENTENCES, 2: other}, compared=True)
    assert [(score.name, score.examples) for score in scores if score.group == "words"] == [
        ("with negation", 6),
        ("without negation or contrast", 18),
    ]
