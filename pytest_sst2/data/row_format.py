"""Which columns of a data set hold the sentence and the label, and what its labels mean.

Both can be given (``--sst2-columns``, ``--sst2-labels``). Else they are found where they are plain, and ``notes`` says
how they were read: columns by their usual names, labels that are 0 and 1 or words for the classes. Anything else is
refused, because a wrong guess would measure the opposite.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted

COLUMNS = ("sentence", "label")
COLUMNS_OPTION, LABELS_OPTION = "--sst2-columns", "--sst2-labels"
# Usual names of the two columns, without case.
_NAMES = (
    ("sentence", "text", "review", "content", "comment", "document"),
    ("label", "labels", "sentiment", "polarity", "class", "target"),
)
# Words for the classes 0 and 1, without case.
CLASSES = (("negative", "neg"), ("positive", "pos"))
_WORDS = {word: number for number, words in enumerate(CLASSES) for word in words}
# The decimals of a whole number.
_ZEROS = re.compile(r"(?<=\d)\.0+$", re.ASCII)
# Labels in text, 1.0 as written by pandas.
_NUMBERS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


class RowFormat:
    """The columns and labels of one data set.

    Args:
        columns: The names of the columns of sentence and label; None to find them.
        labels: The values for negative and positive; None for 0 and 1, or words for the two.
    """

    def __init__(self, columns: tuple[str, str] | None = None, labels: tuple[str, str] | None = None) -> None:
        self._columns = columns
        self._labels = labels
        self._known = {_text(label): number for number, label in enumerate(labels or ())}
        self._read_columns: dict[tuple[str, str], None] = {}
        self._read_labels: dict[str, int] = {}
        self._names: list[str] = []

    @property
    def given(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns and the labels as given; empty where they were to be found."""
        return self._columns or (), self._labels or ()

    @property
    def has_labels(self) -> bool:
        """Whether the meaning of the labels was given."""
        return self._labels is not None

    @property
    def wanted_labels(self) -> str:
        """The labels that are allowed, for a message."""
        if self._labels is None:
            return "0 (negative) and 1 (positive)"
        negative, positive = (quoted(label) for label in self._labels)
        return f"{negative} (negative) and {positive} (positive)"

    @property
    def notes(self) -> list[str]:
        """How the data set was read, where that is not by the columns sentence and label and the labels 0 and 1."""
        notes = [
            f"columns {quoted(sentence)} and {quoted(label)} read as sentence and label"
            for sentence, label in self._read_columns
            if (sentence, label) != COLUMNS
        ]
        for number, name in enumerate(("negative", "positive")):
            labels = [quoted(label) for label, value in sorted(self._read_labels.items()) if value == number]
            notes += [f"label {' and '.join(labels)} read as {name}"] if labels else []
        return notes

    def columns(self, names: Sequence[str], place: str) -> tuple[str, str]:
        """Return the columns of sentence and label among the names of all columns.

        Raises:
            Sst2Error: One is missing, occurs twice, or cannot be told; ``place`` is the file and line.
        """
        is_plain = all(column in names for column in COLUMNS)
        found = self._columns or (None if is_plain else _usual(names)) or COLUMNS
        for column in found:
            if names.count(column) != 1:
                problem = f"there is no column {column!r}" if column not in names else f"column {column!r} occurs twice"
                available = ", ".join(repr(name[:40]) for name in names[:6]) or "none"
                needed = "" if self._columns else "; 'sentence' and 'label' are needed"
                remedy = _other_separator(names) or f"{COLUMNS_OPTION} SENTENCE,LABEL names others."
                raise Sst2Error(f"{place}: {problem}. Its columns are: {available}{needed}. {remedy}")
        self._read_columns[found] = None
        return found

    def names_to_read(self, names: list[str], place: str) -> list[str]:
        """Return the names of the labels 0, 1, ... of a file, if they decide and not the numbers; else an empty list.

        They decide if a given label is one of them, or if no labels are given and the number of a class that its name
        states is another.

        Args:
            names: Names in lower case that the file declares; empty if it declares none.
            place: The file, for an error.

        Raises:
            Sst2Error: The names contradict the labels that were given, or those of a file that was read before.
        """
        if self._labels is not None and any(_text(name) in self._known for name in names):
            return names
        stated = [(label, number) for label, name in enumerate(names) if (number := _WORDS.get(name)) is not None]
        if self._labels is None and any(label != number for label, number in stated):
            return names
        contradicted = self._labels is not None and any(self.number(label) not in (None, n) for label, n in stated)
        if contradicted or (self._names and names and names != self._names):
            known = (
                f"{LABELS_OPTION} {','.join(self._labels)}"
                if self._labels
                else f"another file: {_numbered(self._names)}"
            )
            raise Sst2Error(
                f"{place}: its labels are {_numbered(names)}, which contradicts {known}. "
                f"{LABELS_OPTION} NEGATIVE,POSITIVE takes these names too."
            )
        self._names = self._names or names
        return []

    def number(self, label: Any) -> int | None:
        """Return 0 for a negative label, 1 for a positive one, None for any other."""
        if self._labels is not None:
            number = self._known.get(_text(label))
            if number is not None and str(number) != str(label).strip():
                self._read_labels[str(label).strip()] = number
            return number
        if type(label) in (int, float):
            # pandas writes 1 as 1.0 in a column that had a missing value.
            return int(label) if label in (0, 1) else None
        if type(label) is not str:
            return None
        text = label.strip()
        if text in _NUMBERS:
            return _NUMBERS[text]
        number = _WORDS.get(text.lower())
        if number is not None:
            self._read_labels[text] = number
        return number


def _usual(names: Sequence[str]) -> tuple[str, str] | None:
    """Return the columns with usual names; None if there is none of one kind, or several."""
    sentences, labels = ([name for name in names if name.strip().lower() in usual] for usual in _NAMES)
    return (sentences[0], labels[0]) if len(sentences) == len(labels) == 1 else None


def _numbered(names: Sequence[str]) -> str:
    """Return label names with their numbers, such as ``0 for 'bad' and 1 for 'good'``."""
    return " and ".join(f"{number} for {quoted(name)}" for number, name in enumerate(names[:4]))


def _text(label: Any) -> str:
    """Return a label as text without case: 1 and 1.0 are ``1``, also in text, as pandas writes them."""
    return _ZEROS.sub("", str(label).strip().casefold())


def _other_separator(names: Sequence[str]) -> str:
    """Return a sentence if the only column looks like several with another separator; else an empty string."""
    found = next((repr(sign) for sign in ";\t|," if sign in names[0]), "") if len(names) == 1 else ""
    return found and f"They seem to be separated by {found}: write commas into a .csv file, tabs into a .tsv file."
