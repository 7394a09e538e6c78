"""Warnings: each is given where it has to be, and nowhere else."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

import numpy as np
import pytest
from transformers import BertTokenizer

from pytest_sst2.data.splits import Examples
from pytest_sst2.methods.truncation import truncation_warnings
from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Interval
from pytest_sst2.runner.result_warnings import (
    collapse_warnings,
    concurrency_warnings,
    halving_warnings,
    irreproducibility_warnings,
    nondeterminism_warnings,
    overlap_warnings,
    randomness_warnings,
    sample_size_warnings,
)
from tests.runner.test_cell_runner import answering, make_runner, measure
from tests.support import tiny_models
from tests.support.record_factory import ENVIRONMENT


def rows(*sentences: str) -> Examples:
    return Examples(list(sentences), np.arange(len(sentences)) % 2)


class TestCollapse:
    @pytest.mark.parametrize(("answer", "word"), [(0, "negative"), (1, "positive")])
    def test_one_class_for_all_is_a_collapse(self, answer: int, word: str) -> None:
        found = collapse_warnings("fine-tune", np.full(9, answer), Interval(0.2, 0.6), 0.5)
        assert found == (f"collapsed: every prediction is {word}",)

    def test_an_interval_that_reaches_down_to_the_commoner_class_is_no_better_than_it(self) -> None:
        predictions = np.array([0, 1])
        (found,) = collapse_warnings("tfidf", predictions, Interval(0.5, 0.7), 0.5)
        assert found == (
            "no better than always answering the commoner class: the 95 % interval reaches down to 0.500, that answer "
            "alone gets 0.500"
        )
        assert collapse_warnings("tfidf", predictions, Interval(0.501, 0.7), 0.5) == ()

    def test_a_single_prediction_is_a_collapse_too(self) -> None:
        found = collapse_warnings("tfidf", np.array([1]), Interval(0.2, 1.0), 1.0)
        assert found == ("collapsed: every prediction is positive",)

    def test_the_majority_method_is_what_it_is(self) -> None:
        assert collapse_warnings("majority", np.zeros(9), Interval(0.2, 0.6), 0.5) == ()


class TestOverlap:
    def test_nothing_in_common_is_nothing_to_say(self) -> None:
        assert overlap_warnings(rows("a dull film", "a good film"), rows("one more story", "no story at all")) == ()

    def test_sentences_of_both_sides_are_counted_whatever_their_spaces(self) -> None:
        asked = rows(" good ", "dull", "a  good film ", "so so")
        assert overlap_warnings(rows("good", "a good film", "never"), asked)[0] == (
            "2 of 4 evaluation sentences are also training sentences"
        )

    def test_one_is_said_of_many(self) -> None:
        asked = rows("good", *(f"sentence {number}" for number in range(1_999)))
        assert overlap_warnings(rows("good"), asked) == ("1 of 2,000 evaluation sentences are also training sentences",)

    @pytest.mark.parametrize(
        ("train", "asked"), [("the film is", "so the film is dull"), ("so the film is", "film is dull")]
    )
    def test_three_words_within_a_longer_sentence_give_it_away_and_others_do_not(self, train: str, asked: str) -> None:
        found = overlap_warnings(rows(train), rows(asked, "another story altogether"))
        told = ("50% of the evaluation sentences contain, or are part of, a training sentence",)
        assert found == (told if train in asked else ())

    def test_an_evaluation_sentence_inside_a_training_sentence_counts_too(self) -> None:
        assert overlap_warnings(rows("i know that the film is dull"), rows("the film is", "so so so")) == (
            "50% of the evaluation sentences contain, or are part of, a training sentence",
        )

    def test_two_words_are_no_phrase(self) -> None:
        assert overlap_warnings(rows("the film"), rows("the film is dull")) == ()
        assert overlap_warnings(rows("the film is dull"), rows("the film")) == ()

    def test_parts_of_words_are_no_words(self) -> None:
        assert overlap_warnings(rows("he film is"), rows("the film is dull")) == ()

    @pytest.mark.parametrize("length", [3, 61, 400])
    def test_phrases_of_any_length_are_looked_for(self, length: int) -> None:
        words = [f"word{number}" for number in range(500)]
        whole, part = rows(" ".join(words)), rows(" ".join(words[5 : 5 + length]))
        assert overlap_warnings(whole, part)[0].startswith("100% of")
        assert overlap_warnings(part, whole)[0].startswith("100% of")

    def test_long_texts_take_no_longer_than_as_many_words_in_short_ones(self) -> None:
        words = [f"word{number}" for number in range(40_000)]
        long = rows(*(" ".join(words[at : at + 1_000]) for at in range(0, 40_000, 1_000)))
        start = time.process_time()
        assert overlap_warnings(long, rows("another story altogether")) == ()
        assert overlap_warnings(rows("another story altogether"), long) == ()
        assert time.process_time() - start < 2

    @pytest.mark.parametrize(("count", "said"), [(1, False), (2, True)])
    def test_phrases_are_told_from_more_than_one_sentence_in_a_hundred_on(self, count: int, said: bool) -> None:
        inside = [f"{number} what a film it is" for number in range(count)]
        asked = rows(*inside, *(f"sentence {number}" for number in range(100 - count)))
        assert bool(overlap_warnings(rows("what a film"), asked)) is said


class TestTruncation:
    @pytest.fixture
    def tokenizer(self, tmp_path: Path) -> BertTokenizer:
        tiny_models.write_tokenizer(tmp_path)
        return BertTokenizer.from_pretrained(tmp_path)

    # Four words and two special tokens are six.
    SHORT, LONG = "good", "the film is good"

    @pytest.mark.parametrize(("limit", "cut"), [(6, False), (5, True)])
    def test_a_sentence_of_exactly_the_limit_is_whole(self, tokenizer: BertTokenizer, limit: int, cut: bool) -> None:
        found = truncation_warnings(tokenizer, limit, rows(self.LONG), rows(self.SHORT))
        assert found == (("100% of the training sentences were cut to 5 tokens",) if cut else ())

    @pytest.mark.parametrize(("long", "said"), [(1, False), (2, True)])
    def test_one_in_a_hundred_is_the_tail_of_any_data(self, tokenizer: BertTokenizer, long: int, said: bool) -> None:
        asked = rows(*[self.LONG] * long, *[self.SHORT] * (100 - long))
        found = truncation_warnings(tokenizer, 5, rows(self.SHORT), asked)
        assert found == (("2% of the evaluation sentences were cut to 5 tokens",) if said else ())

    def test_sentences_of_one_letter_are_counted_with_the_special_tokens(self, tokenizer: BertTokenizer) -> None:
        assert truncation_warnings(tokenizer, 3, rows("a"), rows("a")) == ()
        assert truncation_warnings(tokenizer, 2, rows("a"), rows("")) == (
            "100% of the training sentences were cut to 2 tokens",
        )

    def test_short_training_rows_do_not_hide_long_evaluation_rows(self, tokenizer: BertTokenizer) -> None:
        assert truncation_warnings(tokenizer, 5, rows("it"), rows(self.LONG)) == (
            "100% of the evaluation sentences were cut to 5 tokens",
        )

    def test_a_limit_of_the_tokenizers_own_hides_nothing_and_is_not_complained_about(
        self, tokenizer: BertTokenizer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
        caplog.set_level(logging.WARNING, logger="transformers")
        tokenizer.model_max_length = 5
        assert truncation_warnings(tokenizer, 5, rows(self.LONG), rows("it")) == (
            "100% of the training sentences were cut to 5 tokens",
        )
        assert caplog.messages == []
        # Asked like that by anybody else, transformers does complain.
        tokenizer([self.LONG])
        assert caplog.messages[0].startswith("Token indices sequence length is longer")

    def test_of_something_that_is_no_tokenizer_nothing_is_said(self) -> None:
        assert truncation_warnings(object(), 5, rows(self.LONG), rows(self.LONG)) == ()


class TestReproducibility:
    def test_rounds_that_agree_are_not_mentioned(self) -> None:
        assert irreproducibility_warnings([np.array([0, 1, 1])]) == ()
        assert irreproducibility_warnings([np.array([0, 1, 1])] * 3) == ()

    def test_two_rounds_are_enough_to_differ(self) -> None:
        assert irreproducibility_warnings([np.array([0, 1, 1]), np.array([0, 1, 0])]) == (
            "not reproducible: rounds of the same seed differ in up to 1 predictions",
        )

    def test_the_largest_difference_from_the_first_round_is_told(self) -> None:
        rounds = [np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([1, 0, 1])]
        assert irreproducibility_warnings(rounds) == (
            "not reproducible: rounds of the same seed differ in up to 2 predictions",
        )

    @pytest.mark.parametrize(("change", "said"), [(0.0, False), (1e-3, False), (1.1e-3, True)])
    def test_answers_that_move_when_asked_again_are_told_beyond_what_arithmetic_does(
        self, change: float, said: bool
    ) -> None:
        sentence = (
            "predicting twice gives probabilities up to 0.0011 apart: dropout is on, or something else in the "
            "classifier is random"
        )
        assert randomness_warnings(change) == ((sentence,) if said else ())


class TestEvidence:
    @pytest.mark.parametrize(
        ("seeds", "examples", "expected"),
        [
            (1, 499, ("thin evidence: one seed and 499 examples",)),
            (1, 500, ("thin evidence: one seed",)),
            (2, 499, ("thin evidence: 499 examples",)),
            (2, 500, ()),
        ],
    )
    def test_one_seed_and_less_than_five_hundred_examples_are_little(
        self, seeds: int, examples: int, expected: tuple[str, ...]
    ) -> None:
        assert sample_size_warnings(seeds, examples) == expected

    def test_times_beside_other_workers_are_told(self) -> None:
        assert concurrency_warnings(0) == ()
        assert concurrency_warnings(1) == ("timed next to one other worker; --sst2-exclusive times cells alone",)
        assert concurrency_warnings(2) == ("timed next to 2 other workers; --sst2-exclusive times cells alone",)


class TestDevices:
    def test_batches_in_parts_are_told_and_whole_ones_are_not(self) -> None:
        assert halving_warnings(1) == ()
        (said,) = halving_warnings(2)
        assert said == (
            "out of memory at the first attempt; measured at the second, with batches in 2 parts. Their gradients "
            "are added up, and the times leave the first attempt out"
        )

    @pytest.mark.parametrize(
        ("device", "deterministic", "repeats"),
        [
            ("cpu", False, True),
            ("cpu", True, True),
            ("cuda", True, True),
            ("cuda", False, False),
            ("mps", False, False),
        ],
    )
    def test_only_a_device_that_promises_nothing_is_told_of(
        self, device: str, deterministic: bool, repeats: bool
    ) -> None:
        said = nondeterminism_warnings(device, deterministic=deterministic)
        assert bool(said) != repeats
        assert all(device in each for each in said)

    def test_a_record_of_a_gpu_says_it_in_every_report(self) -> None:
        gpu = dataclasses.replace(ENVIRONMENT, device="cuda", device_name="a GPU")
        record = measure(make_runner(answering([0.9] * 10), gpu))
        (warning,) = nondeterminism_warnings("cuda", deterministic=False)
        assert warning in record.warnings
        report = make_report(Results([record], [], origin="this run"), None, (), ())
        assert "not promised to repeat" in markdown(report)
        assert "not promised to repeat" in html_text(report, [])
