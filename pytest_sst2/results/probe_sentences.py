"""Probe sentences: the 64 short texts of every fingerprint.

Some are plain; others have capitals, accents and symbols, which a changed tokenizer splits differently. They never
change, because fingerprints of different sentences are not comparable. Every fingerprint has their digest.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pytest_sst2.utils.hashing import short_digest


@functools.cache
def probe_sentences() -> tuple[str, ...]:
    """Return the 64 probe sentences."""
    return tuple(Path(__file__).with_name("probe_sentences.txt").read_text(encoding="utf-8").splitlines())


@functools.cache
def sentences_by_length() -> tuple[int, ...]:
    """Return the numbers of the probe sentences, the shortest first."""
    return tuple(sorted(range(len(probe_sentences())), key=lambda number: len(probe_sentences()[number])))


def embedded_sentences() -> tuple[int, ...]:
    """Return the numbers of the 32 sentences that are embedded: every second by length, with the longest.

    All 64 are tokenized.
    """
    return sentences_by_length()[1::2]


def watched_sentences() -> tuple[int, ...]:
    """Return the numbers of the four embedded sentences that are also embedded alone."""
    return sentences_by_length()[13::16]


def answered_sentences() -> tuple[int, ...]:
    """Return the numbers of the 16 embedded sentences that a trained classifier predicts."""
    return sentences_by_length()[1::4]


def numbers_of(count: int) -> tuple[int, ...]:
    """Return the numbers of the sentences that a part of a fingerprint with ``count`` of them is about.

    Before 0.4.0, all 64 were embedded and predicted.
    """
    known = {len(numbers): numbers for numbers in (embedded_sentences(), answered_sentences())}
    return known.get(count, tuple(range(count)))


def probe_sentences_digest() -> str:
    """Return the first 16 digits of the probe sentences' SHA-256."""
    return short_digest("\n".join(probe_sentences()))


def has_capitals(sentence: str) -> bool:
    """Return whether lower-casing changes the sentence."""
    return sentence != sentence.lower()


def has_accents(sentence: str) -> bool:
    """Return whether the sentence has letters beyond ASCII."""
    return any(char.isalpha() and not char.isascii() for char in sentence)
