"""Token drift: how many fixed sentences have other ids, and what tells the two tokenizers apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pytest_sst2.compare.drift.tokens import same_token_sentences, token_causes
from pytest_sst2.results.fingerprint import TokensFingerprint
from pytest_sst2.results.packing import packed_text
from pytest_sst2.results.probe_sentences import fixed_sentences, has_accents, has_capitals
from tests.support.record_factory import pieces_of, token_digests

SENTENCES = fixed_sentences()
CAPITALS = [index for index, each in enumerate(SENTENCES) if has_capitals(each)]
ACCENTS = [index for index, each in enumerate(SENTENCES) if has_accents(each) and not has_capitals(each)]
LONGEST = max(range(64), key=lambda index: len(SENTENCES[index]))
LENGTHS = tuple(9 if index == LONGEST else 7 for index in range(64))


def tokens(*changed: int, **fields: Any) -> TokensFingerprint:
    """Return a fingerprint with other ids for some sentences."""
    values = {"lengths": LENGTHS, "pieces": "", **fields}
    return TokensFingerprint("BertTokenizer", values.pop("vocabulary", 30_522), token_digests(*changed), **values)


def reason(old: TokensFingerprint, new: TokensFingerprint) -> str:
    """Return the one sentence without the number of sentences that differ."""
    (found,) = token_causes(old, new)
    return found.partition("”)")[2]


def test_the_same_ids_say_nothing_whatever_else_differs() -> None:
    assert list(token_causes(tokens(), tokens(vocabulary=9, pieces=pieces_of("a", "b")))) == []
    assert same_token_sentences(tokens(), tokens()).all()
    assert same_token_sentences(None, tokens(1)).all()


def test_sentences_that_differ_are_counted_and_the_first_is_shown() -> None:
    (found,) = token_causes(tokens(), tokens(1, 5, 9))
    assert found.startswith("token ids differ for 3 of 64 fixed sentences (first: “not funny”)")
    assert np.flatnonzero(~same_token_sentences(tokens(), tokens(1, 5, 9))).tolist() == [1, 5, 9]


def test_a_long_sentence_is_shown_by_its_beginning() -> None:
    (found,) = token_causes(tokens(), tokens(LONGEST))
    assert f"(first: “{SENTENCES[LONGEST][:39]}…”)" in found


def test_sentences_cut_shorter_or_longer_are_told_by_both_lengths() -> None:
    cut = tokens(LONGEST, lengths=tuple(min(each, 8) for each in LENGTHS))
    assert reason(tokens(), cut) == ": sentences are cut to 8 tokens, were 9"
    assert reason(cut, tokens()) == ": sentences are cut to 9 tokens, were 8"
    # A shorter sentence that differs too has another reason.
    assert "cut to" not in reason(tokens(), tokens(LONGEST, 3, lengths=cut.lengths))


def test_the_same_pieces_with_other_ids_are_another_order_of_the_vocabulary() -> None:
    pieces = pieces_of("[CLS]", "[SEP]")
    found = reason(tokens(pieces=pieces), tokens(*range(64), pieces=pieces))
    assert found == ": the same pieces have other ids, so the vocabulary is in another order"


def test_another_vocabulary_is_told_by_its_size() -> None:
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
def test_what_every_sentence_begins_or_ends_with_is_told(ends: tuple[str, str], expected: str) -> None:
    found = reason(tokens(pieces=pieces_of("[CLS]", "[SEP]")), tokens(*range(64), pieces=pieces_of(*ends)))
    assert found == expected.format(*["it is film number"] * 2)


def test_special_tokens_that_are_gone_are_told_to_be() -> None:
    with_ends = packed_text("\n".join(f"[CLS] {index} [SEP]" for index in range(64)))
    bare = packed_text("\n".join(f"{index}" for index in range(64)))
    assert reason(tokens(pieces=with_ends), tokens(*range(64), pieces=bare)) == (
        ": no sentence begins with “[CLS]” any more and no sentence ends with “[SEP]” any more"
    )


def test_capitals_and_accents_alone_are_told() -> None:
    assert reason(tokens(), tokens(*CAPITALS)).endswith("so lower-casing changed")
    assert reason(tokens(), tokens(*CAPITALS, *ACCENTS)).endswith("so lower-casing changed")
    assert reason(tokens(), tokens(*ACCENTS)).endswith("so the normalisation of text changed")
    assert reason(tokens(), tokens(1, *ACCENTS)) == ""


def test_long_sentences_alone_are_cut_at_another_end() -> None:
    expected = ": only sentences of 9 tokens are among them, so long ones are cut at the other end"
    assert reason(tokens(), tokens(LONGEST)) == expected


def test_where_nothing_explains_it_the_first_difference_is_shown() -> None:
    lines = [f"[CLS] un{index} ##film{index} ##able{index} [SEP]" for index in range(64)]
    other = [line.replace("un1 ##film1 ", "unfilm1 ") for line in lines]
    old, new = (tokens(*changed, pieces=packed_text("\n".join(each))) for changed, each in (((), lines), ((1,), other)))
    assert reason(old, new) == ": split as “unfilm1 ##able1 [SEP]”, was “un1 ##film1 ##able1 [SEP]”"


def test_another_class_is_named_where_no_pieces_were_kept() -> None:
    after = TokensFingerprint("RobertaTokenizer", 30_522, token_digests(1), LENGTHS)
    assert reason(tokens(), after) == " (RobertaTokenizer, was BertTokenizer)"
