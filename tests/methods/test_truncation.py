"""Warnings about truncated sentences."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from transformers import BertTokenizer

from pytest_sst2.data.splits import Examples
from pytest_sst2.methods.truncation import truncation_warnings, unknown_token_warnings
from tests.support import tiny_models

# Four words and two special tokens are six.
SHORT, LONG = "good", "the film is good"


def rows(*sentences: str) -> Examples:
    return Examples(list(sentences), np.arange(len(sentences)) % 2)


@pytest.fixture
def tokenizer(tmp_path: Path) -> BertTokenizer:
    tiny_models.write_tokenizer(tmp_path)
    return BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(("limit", "cut"), [(6, False), (5, True)])
def test_a_sentence_of_exactly_the_limit_is_whole(tokenizer: BertTokenizer, limit: int, cut: bool) -> None:
    warnings = truncation_warnings(tokenizer, limit, rows(LONG), rows(SHORT))
    assert warnings == (("100% of the training sentences were cut to 5 tokens",) if cut else ())


def test_a_prompt_before_each_sentence_counts(tokenizer: BertTokenizer) -> None:
    assert truncation_warnings(tokenizer, 6, rows(LONG), rows(SHORT)) == ()
    assert truncation_warnings(tokenizer, 6, rows(LONG), rows(SHORT), "a ") == (
        "100% of the training sentences were cut to 6 tokens",
    )


@pytest.mark.parametrize(("unknown", "warned"), [(1, False), (3, True)])
def test_more_than_two_percent_of_unknown_tokens_cause_a_warning(
    tokenizer: BertTokenizer, unknown: int, warned: bool
) -> None:
    warnings = unknown_token_warnings(tokenizer, rows(*["\u4e00"] * unknown, *["good"] * (100 - unknown)))
    assert [warning[:28] for warning in warnings] == (["3% of the tokens of the eval"] if warned else [])


def test_a_tokenizer_without_an_unknown_token_causes_no_warning() -> None:
    assert unknown_token_warnings(object(), rows("good")) == ()


@pytest.mark.parametrize(("long", "warned"), [(1, False), (2, True)])
def test_up_to_one_percent_causes_no_warning(tokenizer: BertTokenizer, long: int, warned: bool) -> None:
    evaluation = rows(*[LONG] * long, *[SHORT] * (100 - long))
    warnings = truncation_warnings(tokenizer, 5, rows(SHORT), evaluation)
    assert warnings == (("2% of the evaluation sentences were cut to 5 tokens",) if warned else ())


def test_sentences_of_one_letter_are_counted_with_the_special_tokens(tokenizer: BertTokenizer) -> None:
    assert truncation_warnings(tokenizer, 3, rows("a"), rows("a")) == ()
    assert truncation_warnings(tokenizer, 2, rows("a"), rows("")) == (
        "100% of the training sentences were cut to 2 tokens",
    )


def test_short_training_rows_do_not_hide_long_evaluation_rows(tokenizer: BertTokenizer) -> None:
    assert truncation_warnings(tokenizer, 5, rows("it"), rows(LONG)) == (
        "100% of the evaluation sentences were cut to 5 tokens",
    )


def test_the_tokenizers_own_limit_hides_nothing_and_logs_nothing(
    tokenizer: BertTokenizer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    caplog.set_level(logging.WARNING, logger="transformers")
    tokenizer.model_max_length = 5
    assert truncation_warnings(tokenizer, 5, rows(LONG), rows("it")) == (
        "100% of the training sentences were cut to 5 tokens",
    )
    assert caplog.messages == []
    # Without our arguments transformers does log a warning.
    tokenizer([LONG])
    assert caplog.messages[0].startswith("Token indices sequence length is longer")


def test_other_tokenizers_cause_no_warning() -> None:
    assert truncation_warnings(object(), 5, rows(LONG), rows(LONG)) == ()
