"""Test the sentences for rows that differ, from fingerprints of real rows."""

from __future__ import annotations

import numpy as np
import pytest

from pytest_sst2.compare.drift.data_rows import are_mostly_the_same, overlap_difference, row_differences
from pytest_sst2.data.splits import Examples
from pytest_sst2.instruments.data_fingerprint import overlap, rows_fingerprint

SENTENCES = [f"film number {index} is caf\u00e9" for index in range(50)]
LABELS = np.arange(50) % 2


def difference(sentences: list[str], labels: np.ndarray = LABELS) -> str:
    before, after = Examples(SENTENCES, LABELS), Examples(sentences, labels[: len(sentences)])
    return "; ".join(row_differences("training", rows_fingerprint(before), rows_fingerprint(after)))


@pytest.mark.parametrize(
    ("sentences", "words"),
    [
        (SENTENCES, ""),
        ([*SENTENCES[:7], "other", *SENTENCES[8:]], "not the same ones (50 rows, 50 distinct, on both sides); another "
         "text in 1 of 50 rows, the first in row 7; 1,"),
        ([*SENTENCES[:7], *SENTENCES[8:]], "49 rows, 49 distinct, were 50 rows, 50 distinct; 1 row gone, 0 added, "
         "others moved; the first that differs is row 7"),
        ([*SENTENCES[:7], *SENTENCES[8:], "other"], "on both sides); 1 row gone, 1 added, others moved; the first "
         "row that differs is row 7"),
        ([text.replace("\u00e9", "\u00c3\u00a9") for text in SENTENCES], "100 characters beyond ASCII, were 50"),
        ([text.upper() for text in SENTENCES], "another text in 50 of 50 rows, the first in row 0"),
        ([SENTENCES[0]] * 50, "50 rows, 1 distinct, were 50 rows, 50 distinct; another text in 49 of 50 rows"),
        (SENTENCES[::-1], "training order: the same rows in another order; another sentence in 50 of 50 rows"),
    ],
)  # fmt: skip
def test_how_rows_differ_is_told_with_the_first_one(sentences: list[str], words: str) -> None:
    labels = LABELS[::-1] if sentences[0] == SENTENCES[-1] else LABELS
    assert words in difference(sentences, labels)
    assert bool(difference(sentences, labels)) == bool(words)


def test_shuffled_labels_are_counted_apart_from_the_order() -> None:
    flipped = np.where(np.arange(50) == 9, 1 - LABELS, LABELS)
    old, new = (rows_fingerprint(Examples(SENTENCES, labels)) for labels in (LABELS, flipped))
    assert [*row_differences("evaluation", old, new, (LABELS.tolist(), flipped.tolist()))] == [
        "evaluation labels: 1 of 50 sentences have the other label, the first is row 9"
    ]
    assert difference(SENTENCES, 1 - LABELS) == "training labels: 50 of 50 sentences have the other label"


@pytest.mark.parametrize(
    ("sentences", "expected"),
    [
        (SENTENCES[::-1], True),
        ([*SENTENCES[:7], *SENTENCES[8:]], True),
        ([*SENTENCES[:20], *[f"other {index}" for index in range(30)]], False),
        ([f"other {index}" for index in range(50)], False),
    ],
)
def test_another_data_set_is_told_from_the_same_one_with_changed_rows(sentences: list[str], expected: bool) -> None:
    old, new = (rows_fingerprint(Examples(texts, LABELS[: len(texts)])) for texts in (SENTENCES, sentences))
    assert are_mostly_the_same(old, new) is expected


def test_leaked_rows_are_counted() -> None:
    train, evaluation = Examples(SENTENCES, LABELS), Examples([*SENTENCES[:3], "new"], LABELS[:4])
    assert overlap_difference(0, overlap(train, evaluation)) == (
        "3 evaluation sentences are also training sentences, were 0"
    )
    assert overlap_difference(3, 3) == overlap_difference(None, 3) == ""
