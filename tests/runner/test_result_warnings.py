"""The warnings of a record, and the cases without one."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from pytest_sst2.data.splits import Examples
from pytest_sst2.report.html import html_text
from pytest_sst2.report.markdown import markdown
from pytest_sst2.report.summary import make_report
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Interval
from pytest_sst2.runner.result_warnings import (
    collapse_warnings,
    concurrency_warnings,
    environment_warnings,
    halving_warnings,
    irreproducibility_warnings,
    nondeterminism_warnings,
    overlap_warnings,
    padding_warnings,
    randomness_warnings,
    sample_size_warnings,
)
from tests.runner.test_cell_runner import answering, make_runner, measure
from tests.support.record_factory import ENVIRONMENT


def rows(*sentences: str) -> Examples:
    return Examples(list(sentences), np.arange(len(sentences)) % 2)


class TestCollapse:
    @pytest.mark.parametrize(("answer", "word"), [(0, "negative"), (1, "positive")])
    def test_one_class_for_all_is_a_collapse(self, answer: int, word: str) -> None:
        warnings = collapse_warnings("fine-tune", np.full(9, answer), Interval(0.2, 0.6), 0.5)
        assert warnings == (f"collapsed: every prediction is {word}",)

    def test_an_interval_that_reaches_down_to_the_commoner_class_is_no_better_than_it(self) -> None:
        predictions = np.array([0, 1])
        (warning,) = collapse_warnings("tfidf", predictions, Interval(0.5, 0.7), 0.5)
        assert warning == (
            "no better than always answering the more frequent class: the 95 % interval starts at 0.500; always "
            "giving that answer scores 0.500"
        )
        assert collapse_warnings("tfidf", predictions, Interval(0.501, 0.7), 0.5) == ()

    def test_an_interval_below_one_half_is_worse_than_chance(self) -> None:
        (warning,) = collapse_warnings("fine-tune", np.array([0, 1]), Interval(0.1, 0.2), 0.55)
        assert warning.startswith("worse than chance: the 95 % interval ends at 0.200")

    def test_an_evaluation_of_one_class_is_no_collapse_but_measures_half(self) -> None:
        for method in ("tfidf", "majority"):
            (warning,) = collapse_warnings(method, np.array([1]), Interval(0.2, 1.0), 1.0)
            assert warning.startswith("all evaluation rows have the same label")

    def test_the_majority_method_causes_no_warning(self) -> None:
        assert collapse_warnings("majority", np.zeros(9), Interval(0.2, 0.6), 0.5) == ()


def test_an_embedding_that_depends_on_its_batch_causes_a_warning() -> None:
    assert padding_warnings(0.1) == ()
    (warning,) = padding_warnings(1.01)
    assert warning.startswith("embeddings depend on the other sentences of a batch, by up to 101%")


class TestOverlap:
    def test_nothing_in_common_is_nothing_to_say(self) -> None:
        assert overlap_warnings(rows("a dull film", "a good film"), rows("one more story", "no story at all")) == ()

    def test_sentences_of_both_sides_are_counted_whatever_their_spaces(self) -> None:
        evaluation = rows(" good ", "dull", "a  good film ", "so so")
        assert overlap_warnings(rows("good", "a good film", "never"), evaluation)[0] == (
            "2 of 4 evaluation sentences are also training sentences"
        )

    def test_one_of_many_causes_a_warning(self) -> None:
        evaluation = rows("good", *(f"sentence {number}" for number in range(1_999)))
        assert overlap_warnings(rows("good"), evaluation) == (
            "1 of 2,000 evaluation sentences are also training sentences",
        )

    @pytest.mark.parametrize(
        ("train", "evaluation"), [("the film is", "so the film is dull"), ("so the film is", "film is dull")]
    )
    def test_three_words_within_a_longer_sentence_give_it_away_and_others_do_not(
        self, train: str, evaluation: str
    ) -> None:
        warnings = overlap_warnings(rows(train), rows(evaluation, "another story altogether"))
        expected = ("50% of the evaluation sentences contain, or are part of, a training sentence",)
        assert warnings == (expected if train in evaluation else ())

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

    @pytest.mark.parametrize(("count", "warned"), [(1, False), (2, True)])
    def test_phrases_cause_a_warning_above_one_percent(self, count: int, warned: bool) -> None:
        inside = [f"{number} what a film it is" for number in range(count)]
        evaluation = rows(*inside, *(f"sentence {number}" for number in range(100 - count)))
        assert bool(overlap_warnings(rows("what a film"), evaluation)) is warned


class TestReproducibility:
    def test_rounds_that_agree_cause_no_warning(self) -> None:
        assert irreproducibility_warnings([np.array([0, 1, 1])]) == ()
        assert irreproducibility_warnings([np.array([0, 1, 1])] * 3) == ()

    def test_two_rounds_are_enough_to_differ(self) -> None:
        assert irreproducibility_warnings([np.array([0, 1, 1]), np.array([0, 1, 0])]) == (
            "not reproducible: rounds of the same seed differ in up to 1 predictions",
        )

    def test_the_warning_has_the_largest_difference_from_the_first_round(self) -> None:
        rounds = [np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([1, 0, 1])]
        assert irreproducibility_warnings(rounds) == (
            "not reproducible: rounds of the same seed differ in up to 2 predictions",
        )

    @pytest.mark.parametrize(("change", "warned"), [(0.0, False), (1e-3, False), (1.1e-3, True)])
    def test_random_predictions_cause_a_warning_above_the_tolerance(self, change: float, warned: bool) -> None:
        sentence = (
            "predicting twice gives probabilities up to 0.0011 apart: dropout is on, or something else in the "
            "classifier is random"
        )
        assert randomness_warnings(change) == ((sentence,) if warned else ())


class TestEvidence:
    @pytest.mark.parametrize(
        ("seeds", "examples", "is_random", "expected"),
        [
            (1, 499, True, ("thin evidence: one seed and 499 examples",)),
            (1, 500, True, ("thin evidence: one seed",)),
            (1, 499, False, ("thin evidence: 499 examples",)),
            (1, 500, False, ()),
            (2, 499, True, ("thin evidence: 499 examples",)),
            (2, 500, True, ()),
        ],
    )
    def test_one_seed_of_a_random_training_or_fewer_than_500_examples_cause_a_warning(
        self, seeds: int, examples: int, is_random: bool, expected: tuple[str, ...]
    ) -> None:
        assert sample_size_warnings(seeds, examples, is_random=is_random) == expected

    def test_concurrent_workers_cause_a_warning(self) -> None:
        assert concurrency_warnings(0) == ()
        assert concurrency_warnings(1) == ("timed next to one other worker; --sst2-exclusive times cells alone",)
        assert concurrency_warnings(2) == ("timed next to 2 other workers; --sst2-exclusive times cells alone",)


class TestDevices:
    def test_halved_batches_cause_a_warning(self) -> None:
        assert halving_warnings(1) == ()
        (warning,) = halving_warnings(2)
        assert warning == (
            "the first attempt ran out of memory; the second divided each batch into 2 parts and added up their "
            "gradients. The times are those of the second attempt"
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
    def test_only_a_nondeterministic_device_causes_a_warning(
        self, device: str, deterministic: bool, repeats: bool
    ) -> None:
        warnings = nondeterminism_warnings(device, deterministic=deterministic)
        assert bool(warnings) != repeats
        assert all(device in warning for warning in warnings)

    def test_reports_show_the_warning_of_a_gpu(self) -> None:
        gpu = dataclasses.replace(ENVIRONMENT, device="cuda", device_name="a GPU")
        record = measure(make_runner(answering([0.9] * 10), gpu))
        (warning,) = nondeterminism_warnings("cuda", deterministic=False)
        assert warning in record.warnings
        report = make_report(Results([record], [], origin="this run"), None, (), ())
        assert "not promised to repeat" in markdown(report)
        assert "not promised to repeat" in html_text(report, [])


class TestEnvironment:
    def test_a_constant_environment_causes_none(self) -> None:
        assert environment_warnings(ENVIRONMENT, ENVIRONMENT, ENVIRONMENT) == ()

    def test_what_another_test_or_the_method_changed_is_named(self) -> None:
        start = dataclasses.replace(ENVIRONMENT, threads=1, deterministic=True)
        end = dataclasses.replace(start, matmul_precision="medium")
        (warning,) = environment_warnings(ENVIRONMENT, start, end)
        assert warning == (
            "the environment changed within the run: threads 1, was 2 in the first cell; deterministic True, was False "
            "in the first cell; matmul precision medium, was highest when this cell started"
        )
