"""Compare tokenizers by their tokens for the probe sentences, and find the most likely reason for a difference."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.results.fingerprint import KEPT_PIECES, TokensFingerprint
from pytest_sst2.results.packing import unpacked_text
from pytest_sst2.results.probe_sentences import has_accents, has_capitals, probe_sentences
from pytest_sst2.utils.formatting import truncate

Pieces = Sequence[Sequence[str]]

_SHOWN_CHARACTERS = 40
_SHOWN_PIECES = 5


def same_token_sentences(old: TokensFingerprint | None, new: TokensFingerprint | None) -> np.ndarray:
    """Return whether each probe sentence has the same token ids, bool, of shape (64,)."""
    if old is None or new is None:
        return np.ones(len(probe_sentences()), dtype=bool)
    first, second = (np.frombuffer(base64.b64decode(side.ids), dtype=np.uint32) for side in (old, new))
    return np.asarray(first == second)


def token_causes(old: TokensFingerprint, new: TokensFingerprint) -> Iterator[Cause]:
    """Yield one cause: how many probe sentences have other ids, and what these have in common."""
    same = same_token_sentences(old, new)
    if same.all():
        return
    different = [index for index, equal in enumerate(same) if not equal]
    first = truncate(probe_sentences()[different[0]], _SHOWN_CHARACTERS)
    count = f"token ids differ for {len(different)} of {len(same)} probe sentences"
    sentence = f"{count} (first: “{first}”){_reason(old, new, different)}"
    yield Cause(sentence, "tokens", f"probe sentence {different[0]}", rows=len(different))


def _reason(old: TokensFingerprint, new: TokensFingerprint, different: Sequence[int]) -> str:
    """Return the first explanation that fits all differences, the most certain first; else the first difference."""
    before, after = _pieces(old), _pieces(new)
    complete = [index for index, length in enumerate(old.lengths) if max(length, new.lengths[index]) <= KEPT_PIECES]
    sentences = [probe_sentences()[index] for index in different]
    longest_before, longest = max(old.lengths), max(new.lengths)
    if longest != longest_before and all(
        max(old.lengths[index], new.lengths[index]) >= min(longest, longest_before) for index in different
    ):
        return f": sentences are cut to {longest} tokens, were {longest_before}"
    if before and before == after:
        return ": the same pieces have other ids, as in a vocabulary of another order"
    if old.vocabulary != new.vocabulary:
        return f": the tokenizer has {new.vocabulary:,} tokens, had {old.vocabulary:,}"
    if before and after and (ends := _ends([before[i] for i in complete], [after[i] for i in complete])):
        return f": {ends}"
    if all(has_capitals(sentence) or has_accents(sentence) for sentence in sentences) and any(
        map(has_capitals, sentences)
    ):
        return ": only sentences with capitals or accents are among them, as when lower-casing changed"
    if all(map(has_accents, sentences)):
        return ": only sentences with accents or other scripts are among them, as when normalisation of text changed"
    if all(old.lengths[index] == new.lengths[index] == longest for index in different):
        return f": only sentences of {longest} tokens are among them, as when long ones are cut at the other end"
    if before and after:
        return _first_difference(before[different[0]], after[different[0]])
    return f" ({new.tokenizer}, was {old.tokenizer})" if old.tokenizer != new.tokenizer else ""


def _pieces(tokens: TokensFingerprint) -> list[list[str]]:
    """Return the first pieces of each sentence; empty if they were not stored."""
    pieces = [line.split(" ") for line in unpacked_text(tokens.pieces).split("\n")] if tokens.pieces else []
    return pieces if len(pieces) == len(probe_sentences()) and any(map(any, pieces)) else []


def _ends(before: Pieces, after: Pieces) -> str:
    """Return what every sentence begins or ends with on one side only; empty if there is nothing."""
    changes = []
    for verb, was, way in (("begins", "began", 1), ("ends", "ended", -1)):
        one, other = (" ".join(_common_start([pieces[::way] for pieces in side])[::way]) for side in (after, before))
        if one != other:
            now = f"every sentence {verb} with “{one}”" if one else f"no sentence {verb} with “{other}” any more"
            changes.append(f"{now}, {was} with “{other}”" if one and other else now)
    return " and ".join(changes)


def _common_start(sentences: Pieces) -> list[str]:
    """Return the pieces that all sentences begin with."""
    common = itertools.takewhile(lambda pieces: len(set(pieces)) == 1, zip(*sentences, strict=False))
    return [pieces[0] for pieces in common]


def _first_difference(before: Sequence[str], after: Sequence[str]) -> str:
    """Return the pieces of both sides from the first difference on."""
    start = next(
        (index for index, (one, other) in enumerate(zip(before, after, strict=False)) if one != other),
        min(len(before), len(after)),
    )
    one, other = (" ".join(pieces[start : start + _SHOWN_PIECES]) for pieces in (after, before))
    return f": split as “{one}”, was “{other}”"
