"""Test how many probe sentences have other token ids, and the reason that is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.tokens import same_token_sentences, token_causes
from pytest_sst2.results.fingerprint import TokensFingerprint
from pytest_sst2.results.packing import packed_text
from pytest_sst2.results.probe_sentences import has_accents, has_capitals, probe_sentences
from tests.support.record_factory import pieces_of, token_digests

SENTENCES = probe_sentences()
CAPITALS = [index for index, text in enumerate(SENTENCES) if has_capitals(text)]
ACCENTS = [index for index, text in enumerate(SENTENCES) if has_accents(text) and not has_capitals(text)]
LONGEST = max(range(64), key=lambda index: len(SENTENCES[index]))
LENGTHS = tuple(9 if index == LONGEST else 7 for index in range(64))


def tokens(*changed: int, **fields: Any) -> TokensFingerprint:
    """Return a fingerprint with other ids for the sentences in ``changed``."""
    values = {"lengths": LENGTHS, "pieces": "", **fields}
    return TokensFingerprint("BertTokenizer", values.pop("vocabulary", 30_522), token_digests(*changed), **values)


def reason(old: TokensFingerprint, new: TokensFingerprint) -> str:
    """Return the only cause, without the part that counts the sentences."""
    (cause,) = map(str, token_causes(old, new))
    return cause.partition("”)")[2]


def test_equal_ids_have_no_cause_even_if_other_fields_differ() -> None:
    assert list(token_causes(tokens(), tokens(vocabulary=9, pieces=pieces_of("a", "b")))) == []
    assert same_token_sentences(tokens(), tokens()).all()
    assert same_token_sentences(None, tokens(1)).all()


def test_sentences_that_differ_are_counted_and_the_first_is_shown() -> None:
    (cause,) = map(str, token_causes(tokens(), tokens(1, 5, 9)))
    assert cause.startswith("token ids differ for 3 of 64 probe sentences (first: “not funny”)")
    assert np.flatnonzero(~same_token_sentences(tokens(), tokens(1, 5, 9))).tolist() == [1, 5, 9]


def test_a_long_sentence_is_truncated() -> None:
    (cause,) = map(str, token_causes(tokens(), tokens(LONGEST)))
    assert f"(first: “{SENTENCES[LONGEST][:39]}…”)" in cause


def test_another_maximum_length_is_named_with_both_lengths() -> None:
    cut = tokens(LONGEST, lengths=tuple(min(length, 8) for length in LENGTHS))
    assert reason(tokens(), cut) == ": sentences are cut to 8 tokens, were 9"
    assert reason(cut, tokens()) == ": sentences are cut to 9 tokens, were 8"
    # If a shorter sentence differs too, truncation does not explain it.
    assert "cut to" not in reason(tokens(), tokens(LONGEST, 3, lengths=cut.lengths))


def test_the_same_pieces_with_other_ids_are_another_order_of_the_vocabulary() -> None:
    pieces = pieces_of("[CLS]", "[SEP]")
    explanation = reason(tokens(pieces=pieces), tokens(*range(64), pieces=pieces))
    assert explanation == ": the same pieces have other ids, as in a vocabulary of another order"


def test_another_vocabulary_is_named_by_its_size() -> None:
    assert reason(tokens(), tokens(1, vocabulary=28_996)) == ": the tokenizer has 28,996 tokens, had 30,522"


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (("<s>", "[SEP]"), ": every sentence begins with “<s> {}”, began with “[CLS] {}”"),
        (("query: [CLS]", "[SEP]"), ": every sentence begins with “query: [CLS] {}”, began with “[CLS] {}”"),
        (("[CLS]", "</s>"), ": every sentence ends with “</s>”, ended with “[SEP]”"),
        (("<s>", "</s>"), ": every sentence begins with “<s> {}”, began with “[CLS] {}” and every sentence ends with "
                          "“</s>”, ended with “[SEP]”"),
    ],
)  # fmt: skip
def test_common_beginnings_and_ends_that_changed_are_named(ends: tuple[str, str], expected: str) -> None:
    explanation = reason(tokens(pieces=pieces_of("[CLS]", "[SEP]")), tokens(*range(64), pieces=pieces_of(*ends)))
    assert explanation == expected.format(*["it is film number"] * 2)


def test_missing_special_tokens_are_named() -> None:
    with_ends = packed_text("\n".join(f"[CLS] {index} [SEP]" for index in range(64)))
    bare = packed_text("\n".join(f"{index}" for index in range(64)))
    assert reason(tokens(pieces=with_ends), tokens(*range(64), pieces=bare)) == (
        ": no sentence begins with “[CLS]” any more and no sentence ends with “[SEP]” any more"
    )


def test_sentences_with_capitals_or_accents_alone_explain_the_difference() -> None:
    assert reason(tokens(), tokens(*CAPITALS)).endswith("as when lower-casing changed")
    assert reason(tokens(), tokens(*CAPITALS, *ACCENTS)).endswith("as when lower-casing changed")
    assert reason(tokens(), tokens(*ACCENTS)).endswith("as when normalisation of text changed")
    assert reason(tokens(), tokens(1, *ACCENTS)) == ""


def test_long_sentences_alone_are_cut_at_the_other_end() -> None:
    expected = ": only sentences of 9 tokens are among them, as when long ones are cut at the other end"
    assert reason(tokens(), tokens(LONGEST)) == expected


def test_without_an_explanation_the_first_difference_is_shown() -> None:
    lines = [f"[CLS] un{index} ##film{index} ##able{index} [SEP]" for index in range(64)]
    other = [line.replace("un1 ##film1 ", "unfilm1 ") for line in lines]
    old = tokens(pieces=packed_text("\n".join(lines)))
    new = tokens(1, pieces=packed_text("\n".join(other)))
    assert reason(old, new) == ": split as “unfilm1 ##able1 [SEP]”, was “un1 ##film1 ##able1 [SEP]”"


def test_another_class_is_named_if_no_pieces_are_stored() -> None:
    after = TokensFingerprint("RobertaTokenizer", 30_522, token_digests(1), LENGTHS)
    assert reason(tokens(), after) == " (RobertaTokenizer, was BertTokenizer)"
