"""Test that the causes of several seeds become one list in which each cause is named once."""

from __future__ import annotations

from pytest_sst2.compare.drift.evidence import Cause, Rank, over_seeds

POOLING = Cause("pooling cls, was mean", "config")


def moved(rows: int) -> Cause:
    return Cause(f"{rows} answers changed", "predictions", rows=rows, rank=Rank.DIFFERS)


def sentences(causes: dict[int, list[Cause]]) -> list[str]:
    return [cause.sentence for cause in over_seeds(causes)]


def test_one_seed_is_not_named() -> None:
    assert sentences({42: [moved(3), POOLING]}) == ["pooling cls, was mean", "3 answers changed"]


def test_what_all_seeds_have_in_the_same_words_is_said_once() -> None:
    assert sentences({1: [POOLING], 2: [POOLING]}) == ["pooling cls, was mean"]


def test_of_what_differs_in_numbers_the_seed_with_most_rows_is_named() -> None:
    by_seed = {1: [moved(6)], 2: [POOLING, moved(16)], 3: [moved(3)]}
    assert sentences(by_seed) == [
        "pooling cls, was mean (seed 2 only)",
        "16 answers changed (seed 2, and similar with 2 others)",
    ]
    assert over_seeds(by_seed)[1].rows == 16


def test_two_places_in_one_seed_stay_two_causes() -> None:
    layers = [Cause(f"the weights of layer {number} differ", "weights") for number in (3, 4)]
    assert sentences({1: layers, 2: layers}) == ["the weights of layer 3 differ", "the weights of layer 4 differ"]
