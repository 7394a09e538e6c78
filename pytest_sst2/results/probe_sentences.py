"""The fixed sentences: 64 short texts that every fingerprint is taken with.

They were written for this purpose: plain ones, and some that a change of tokenizer stumbles over. They may never be
changed: fingerprints of other sentences cannot be compared. Their digest is kept in every fingerprint.
"""

from __future__ import annotations

import functools
from pathlib import Path

from pytest_sst2.utils.hashing import short_digest

_FILE = Path(__file__).parent / "probe_sentences.txt"


@functools.cache
def fixed_sentences() -> tuple[str, ...]:
    """Return the 64 sentences."""
    return tuple(_FILE.read_text(encoding="utf-8").splitlines())


def fixed_sentences_digest() -> str:
    """Return the first 16 digits of their SHA-256."""
    return short_digest("\n".join(fixed_sentences()))


def has_capitals(sentence: str) -> bool:
    """Tell whether lower-casing would change the sentence."""
    return sentence != sentence.lower()


def has_accents(sentence: str) -> bool:
    """Tell whether the sentence has letters beyond ASCII."""
    return any(char.isalpha() and not char.isascii() for char in sentence)
