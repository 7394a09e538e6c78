"""Compare the training or evaluation rows of two records: sentences, labels and order, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pytest_sst2.results.fingerprint import RowsFingerprint
from pytest_sst2.results.packing import unpacked_bits, unpacked_bytes

# Up to this number of rows, two of them rarely have the same digest.
_EXACT = 20


def row_differences(
    which: str,
    old: RowsFingerprint,
    new: RowsFingerprint,
    labels: tuple[Sequence[int], Sequence[int]] = ((), ()),
    read: tuple[np.ndarray, np.ndarray] | None = None,
) -> Iterator[str]:
    """Yield the differences between the rows: text, labels or order. ``which`` is ``training`` or ``evaluation``.

    ``labels`` has the labels of both sides in the order of the rows, if they are known, and ``read`` what ``read_rows``
    returns of both.
    """
    if old.sentences != new.sentences:
        yield f"{which} sentences: {_sentence_difference(old, new, _Texts.of(old, new, read))}"
    elif old.labels != new.labels:
        bits = zip(unpacked_bits(old.labels, old.count), unpacked_bits(new.labels, new.count), strict=True)
        flipped = sum(one != other for one, other in bits)
        same_order = old.order == new.order
        rows = (row for row, (one, other) in enumerate(zip(*labels, strict=False)) if one != other)
        first = next(rows, None) if same_order else None
        where = f", the first is row {first}" if first is not None else ""
        order = "" if same_order else ", and the rows are in another order"
        yield f"{which} labels: {flipped:,} of {new.count:,} sentences have the other label{where}{order}"
    elif old.order != new.order:
        others = _other_texts(old, new, _Texts.of(old, new, read), "another sentence")
        yield f"{which} order: the same rows in another order{others}"


def are_mostly_the_same(
    old: RowsFingerprint, new: RowsFingerprint, read: tuple[np.ndarray, np.ndarray] | None = None
) -> bool:
    """Return whether at least half of the sentences are on both sides; False if that was not recorded."""
    if old.sentences == new.sentences:
        return True
    if (texts := _Texts.of(old, new, read)) is None:
        return False
    common = (Counter(texts.before.tolist()) & Counter(texts.after.tolist())).total()
    return 2 * common >= max(len(texts.before), len(texts.after))


def overlap_difference(old: int | None, new: int | None) -> str:
    """Return how many evaluation sentences are also training sentences, if this differs; else an empty text."""
    if old is None or new is None or old == new:
        return ""
    return f"{new:,} evaluation sentences are also training sentences, were {old:,}"


@dataclass(frozen=True)
class _Texts:
    """Digests of both sides' texts: of each row, or of each block of ``size`` consecutive rows."""

    before: np.ndarray
    after: np.ndarray
    size: int = 1

    @classmethod
    def of(
        cls, old: RowsFingerprint, new: RowsFingerprint, read: tuple[np.ndarray, np.ndarray] | None
    ) -> _Texts | None:
        """Return what the tokenizer read of each row if that differs, else the digests of blocks; None without."""
        if read is not None and any(one != other for one, other in zip(*read, strict=False)):
            return cls(*read)
        before, after = (np.frombuffer(unpacked_bytes(rows.blocks), "<u2") for rows in (old, new))
        sizes = {-(-rows.count // max(1, len(blocks))) for rows, blocks in ((old, before), (new, after))}
        return cls(before, after, *sizes) if len(before) and len(after) and len(sizes) == 1 else None


def _sentence_difference(old: RowsFingerprint, new: RowsFingerprint, texts: _Texts | None) -> str:
    counts = [f"{rows.count:,} rows, {rows.distinct:,} distinct" for rows in (new, old)]
    details = [_other_texts(old, new, texts).removeprefix("; "), _characters(old, new)]
    if counts[0] != counts[1]:
        return "; ".join(filter(None, (f"{counts[0]}, were {counts[1]}", *details)))
    is_spelling = old.normalized_digest and old.normalized_digest == new.normalized_digest
    how = "with other spaces, case or accents" if is_spelling else "not the same ones"
    return "; ".join(filter(None, (f"{how} ({counts[0]}, on both sides)", *details)))


def _other_texts(old: RowsFingerprint, new: RowsFingerprint, texts: _Texts | None, what: str = "another text") -> str:
    """Return in how many places there is another text or row, and the first of them; empty if unknown."""
    if texts is None:
        return ""
    before, after, size = texts.before, texts.after, texts.size
    common = min(len(before), len(after))
    changed = np.flatnonzero(before[:common] != after[:common])
    if not len(changed):
        return f"; the first {common * size:,} rows are the same" if old.count != new.count else ""
    first = int(changed[0]) * size
    where = f"row {first}" if size == 1 else f"rows {first} to {first + size - 1}"
    moved = _gone_and_added(before, after, len(changed)) if size == 1 else ""
    if old.count != new.count:
        return f"{moved}; the first that differs is {where if size == 1 else f'among {where}'}"
    if moved:
        return f"{moved}; the first row that differs is {where}"
    unit = "rows" if size == 1 else f"blocks of {size} rows"
    return f"; {what} in {len(changed):,} of {common:,} {unit}, the first in {where}"


def _gone_and_added(before: np.ndarray, after: np.ndarray, changed: int) -> str:
    """Return how many rows are gone and added if others moved, from digests of the rows; else an empty text.

    ``changed`` is the number of places with another text.
    """
    one, other = Counter(before.tolist()), Counter(after.tolist())
    gone, added = (one - other).total(), (other - one).total()
    most = max(gone, added)
    # Of many rows, some have the digest of another one by chance (16 bits).
    if not most or changed - most <= _EXACT * (most / 2**8) ** 2:
        return ""
    texts = [f"{'about ' if count > _EXACT else ''}{count:,}" for count in (gone, added)]
    return f"; {texts[0]} {'row' if gone == 1 else 'rows'} gone, {texts[1]} added, others moved"


def _characters(old: RowsFingerprint, new: RowsFingerprint) -> str:
    """Return how many characters the sentences have, and beyond ASCII, where this differs; empty if it does not."""
    parts = []
    for name, text in (("characters", "characters"), ("non_ascii", "characters beyond ASCII")):
        one, other = getattr(old, name), getattr(new, name)
        if one is not None and other is not None and one != other:
            parts.append(f"{other:,} {text}, were {one:,}")
    return "; ".join(parts)
