"""Fingerprints of rows and tokens: digests of sentences, labels, token ids and their order."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_sst2.models.word_vectors import vocabulary_of
from pytest_sst2.results.fingerprint import KEPT_PIECES, RowsFingerprint, TokensFingerprint
from pytest_sst2.results.packing import packed_bits, packed_bytes, packed_digests, packed_text
from pytest_sst2.utils.hashing import short_digest

if TYPE_CHECKING:
    from pytest_sst2.data.splits import Examples

Ids = Sequence[Sequence[int]]
# Blocks of consecutive rows that have a digest of their sentences.
_BLOCKS = 64
# The same for rows whose tokens are not observed: single rows of the validation set.
SINGLE_ROWS = 1024


@functools.lru_cache(maxsize=16)  # the cells of a run share their rows
def rows_fingerprint(rows: Examples, most_blocks: int = _BLOCKS) -> RowsFingerprint:
    """Return the fingerprint of training or evaluation rows, with digests of up to ``most_blocks`` blocks."""
    pairs = sorted(zip(rows.sentences, rows.labels.tolist(), strict=True))
    return RowsFingerprint(
        sentences=_digest(sentence for sentence, _ in pairs),
        labels=packed_bits([label for _, label in pairs]),
        order=_digest(rows.sentences),
        count=len(rows),
        distinct=len(set(rows.sentences)),
        normalized_digest=_digest(sorted(map(_normalized, rows.sentences))),
        blocks=packed_bytes(_block_digests(rows.sentences, most_blocks)),
        characters=sum(map(len, rows.sentences)),
        non_ascii=sum(not char.isascii() for sentence in rows.sentences if not sentence.isascii() for char in sentence),
    )


def overlap(train: Examples, evaluation: Examples) -> int:
    """Return the number of evaluation rows whose sentence is also a training sentence."""
    known = set(train.sentences)
    return sum(sentence in known for sentence in evaluation.sentences)


def _block_digests(sentences: Sequence[str], most: int) -> bytes:
    """Return a digest of two bytes for each of up to ``most`` blocks of consecutive rows."""
    size = -(-len(sentences) // most) or 1
    blocks = ("\n".join(sentences[start : start + size]) for start in range(0, len(sentences), size))
    return b"".join(hashlib.blake2b(block.encode(), digest_size=2).digest() for block in blocks)


def _digest(sentences: Iterable[str]) -> str:
    return short_digest("".join(f"{sentence}\n" for sentence in sentences))


def _normalized(sentence: str) -> str:
    """Return the sentence without spaces, case and accents."""
    parts = unicodedata.normalize("NFKD", sentence).casefold()
    return "".join(char for char in parts if not char.isspace() and not unicodedata.combining(char))


def tokens_fingerprint(tokenizer: Any, ids: Ids) -> TokensFingerprint:
    """Return the fingerprint of a tokenizer and of the token ids of the probe sentences."""
    words = None if hasattr(tokenizer, "convert_ids_to_tokens") else vocabulary_of(tokenizer)
    return TokensFingerprint(
        tokenizer=type(tokenizer).__name__,
        vocabulary=len(tokenizer if hasattr(tokenizer, "__len__") else words or ()),
        ids=packed_digests(id_digests(ids)),
        lengths=tuple(map(len, ids)),
        pieces=packed_text("\n".join(" ".join(_pieces(tokenizer, words, sentence)) for sentence in ids)),
    )


def _pieces(tokenizer: Any, words: Mapping[int, str] | None, ids: Sequence[int]) -> list[str]:
    kept = list(ids[:KEPT_PIECES])
    try:
        pieces = tokenizer.convert_ids_to_tokens(kept) if words is None else [words[number] for number in kept]
    except (AttributeError, IndexError, KeyError, TypeError):  # unknown ids
        return []
    return [re.sub(r"\s", "▁", str(piece)) for piece in pieces]


def id_digests(ids: Ids) -> list[bytes]:
    """Return a digest of 4 bytes of each sentence's token ids."""
    plain = [[int(token) for token in sentence] for sentence in ids]
    return [hashlib.sha256(repr(sentence).encode()).digest()[:4] for sentence in plain]


class OrderDigest:
    """Digests of the first ``limit`` training rows: one in the order of the optimiser, one of the sorted rows.

    ``str()`` returns both, separated by a colon. A limit of 0 records nothing.
    """

    def __init__(self, limit: int) -> None:
        self._rows: list[bytes] = []
        self._limit = limit
        self._later = hashlib.sha256()
        self._has_later = False

    def add(self, token_ids: Sequence[int]) -> None:
        """Add the next row."""
        if not self._limit:
            return
        row = repr(list(token_ids)).encode()
        if len(self._rows) < self._limit:
            self._rows.append(row)
        else:
            self._later.update(row)
            self._has_later = True

    @property
    def later(self) -> str:
        """The digest of the rows beyond the limit in their order; empty without any."""
        return self._later.hexdigest()[:16] if self._has_later else ""

    def __str__(self) -> str:
        row_digests = sorted(hashlib.sha256(row).digest()[:8] for row in self._rows)
        return f"{short_digest(b''.join(self._rows))}:{short_digest(b''.join(row_digests))}"
