"""Readers: a file of sentences and labels in, checked rows out, and a sentence with file and line when it is broken."""

from __future__ import annotations

import csv
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_sst2.data.arrow import arrow_values, parquet_values
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.safe_read import is_utf8, lines_of, text_of
from pytest_sst2.utils.strict_json import NotJsonError, json_of

COLUMNS = ("sentence", "label")
# All rows of a split stand in memory: three million of SST-2's phrases, or a quarter of a GB of text.
MOST_ROWS = 2**22
MOST_CHARACTERS = 2**28
# The most that csv takes where a C long has 32 bits.
_LONGEST_FIELD = 2**31 - 1


class Rows(NamedTuple):
    """The sentences and labels (0 or 1) of one split, in file order."""

    sentences: list[str]
    labels: list[int]


class _RawRow(NamedTuple):
    place: str
    sentence: Any
    label: Any


def read_rows(path: Path) -> Rows:
    """Read one file by its suffix: .tsv, .csv, .jsonl, .json or .parquet.

    Labels are 0 or 1, as numbers or text. Columns other than ``sentence`` and ``label`` are passed over.

    Raises:
        Sst2Error: A column is missing, a label is another, a sentence is empty, the text is not UTF-8, or there are
            no rows or too many. The message names the file and the line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Sst2Error(f"{path} cannot be read: only {', '.join(READERS)} files are.")
    rows = check_rows(reader(path), path.name)
    if not rows.sentences:
        raise Sst2Error(f"{path} has no rows: at least one sentence with its label is needed.")
    return rows


def check_rows(raw: Iterable[_RawRow], name: str) -> Rows:
    """Check every row and gather sentences and labels.

    Raises:
        Sst2Error: A sentence is not text, is empty or has a NUL in it, a label is neither 0 nor 1, or there is more
            than may stand in memory.
    """
    rows = Rows([], [])
    characters = 0
    for place, sentence, label in raw:
        number = _number(label)
        if number is None or _is_wrong(sentence):
            raise Sst2Error(f"{name}, {place}: {_what_is_wrong(sentence, label)}")
        characters += len(sentence)
        if len(rows.labels) == MOST_ROWS or characters > MOST_CHARACTERS:
            raise Sst2Error(
                f"{name}, {place}: more than {MOST_ROWS:,} rows, or {MOST_CHARACTERS // 2**20:,} million characters, "
                "are not read into memory. Keep a part of them: a recipe trains on the front of a shuffle anyway."
            )
        rows.sentences.append(sentence)
        rows.labels.append(number)
    return rows


def _number(label: Any) -> int | None:
    """Return the label as a number, None where it is neither 0 nor 1."""
    if type(label) is str:
        return _LABELS.get(label.strip())
    # 1.0 is what pandas makes of 1 in a column that once had a gap.
    return int(label) if type(label) in (int, float) and label in (0, 1) else None


def _is_wrong(sentence: Any) -> bool:
    return type(sentence) is not str or not sentence or sentence.isspace() or "\0" in sentence or not is_utf8(sentence)


def _what_is_wrong(sentence: Any, label: Any) -> str:
    """Return a sentence on a row that is not as it should be."""
    if sentence is None or (isinstance(sentence, str) and not sentence.strip()):
        return "the sentence is empty; text is wanted."
    if not isinstance(sentence, str):
        return f"the sentence is {quoted(sentence)}; text is wanted."
    if not is_utf8(sentence):
        return f"the sentence {ascii(sentence)[:60]} holds half a surrogate pair."
    if "\0" in sentence:
        return f"the sentence {quoted(sentence)} has a NUL character, which no text has."
    # A digit of another script looks like the one that is wanted.
    spelt = f", in ASCII {truncate(ascii(label), 80)}" if isinstance(label, str) and not label.isascii() else ""
    unlabelled = isinstance(label, str | int | float) and quoted(label).strip("' ") in ("-1", "-1.0")
    hint = " (-1 marks the unlabelled test split, which cannot be scored)" if unlabelled else ""
    return f"the label is {quoted(label)}{spelt}; only 0 (negative) and 1 (positive) are allowed{hint}."


# What the classes 0 and 1 are called.
_CLASSES = (("negative", "neg"), ("positive", "pos"))
# 1.0 as above, in a text file.
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def arrow_rows(paths: Iterable[Path]) -> Iterator[_RawRow]:
    """Yield the rows of the Arrow files that hold one split of a saved data set.

    Raises:
        Sst2Error: ``sentence`` or ``label`` is not among a file's columns, or a file is damaged.
    """
    number = 0
    for path in paths:
        for sentence, label in arrow_values(path, COLUMNS, functools.partial(_check_schema, name=str(path))):
            number += 1
            yield _RawRow(f"row {number}", sentence, label)


def _check_columns(found: Sequence[str], name: str) -> None:
    for column in COLUMNS:
        if found.count(column) != 1:
            problem = f"there is no column {column!r}" if column not in found else f"column {column!r} occurs twice"
            shown = ", ".join(repr(text[:40]) for text in found[:6]) or "none"
            raise Sst2Error(f"{name}: {problem}. Its columns are {shown}; 'sentence' and 'label' are needed.")


def _check_schema(found: Sequence[str], more: Mapping[bytes, bytes], name: str) -> None:
    """Refuse a file without our columns, and one whose labels are named the other way round than ours.

    ``datasets`` keeps their names in what Parquet and Arrow let a schema say besides.
    """
    _check_columns(found, name)
    names = _label_names(more.get(b"huggingface", b"").decode(errors="replace"))
    negative, positive = _CLASSES
    if len(names) == 2 and (names[0] in positive or names[1] in negative):
        raise Sst2Error(
            f"{name}: its labels are 0 for {quoted(names[0])} and 1 for {quoted(names[1])}, and 0 is negative and 1 "
            "positive here. Write it anew with the labels turned round (1 - label) and their names with them."
        )


def _label_names(text: str) -> list[str]:
    """Return the names of the labels, in lower case, from what ``datasets`` says of a file; none where it says none."""
    try:
        names = json_of(text)["info"]["features"]["label"]["names"]
        return [name.lower() for name in names]
    except (NotJsonError, LookupError, TypeError, AttributeError):
        return []


def _read_tsv(path: Path) -> Iterator[_RawRow]:
    """Yield the rows of a TSV file as GLUE writes it: tabs separate, and quotes are ordinary characters."""
    lines = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in lines_of(path))
    header = next(lines, (1, ""))[1].split("\t")
    _check_columns(header, f"{path.name}, line 1")
    sentence, label = (header.index(column) for column in COLUMNS)
    for number, line in lines:
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise Sst2Error(f"{path.name}, line {number}: {len(fields)} columns where the header has {len(header)}.")
        yield _RawRow(f"line {number}", fields[sentence], fields[label])


def _read_csv(path: Path) -> Iterator[_RawRow]:
    first = 1
    reader = csv.reader((line for _, line in lines_of(path)), strict=True)
    try:
        header = _next_fields(reader) or []
        _check_columns(header, f"{path.name}, line 1")
        sentence, label = (header.index(column) for column in COLUMNS)
        first = reader.line_num + 1  # of the row that is read next: a quoted sentence may run over lines
        while (fields := _next_fields(reader)) is not None:
            place, first = f"line {first}", reader.line_num + 1
            if fields and len(fields) != len(header):
                raise Sst2Error(
                    f"{path.name}, {place}: {len(fields)} columns where the header has {len(header)}. "
                    "Sentences with commas or line breaks need quotes around them."
                )
            if fields:
                yield _RawRow(place, fields[sentence], fields[label])
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # after which it says how to call open()
        raise Sst2Error(f"{path.name}, line {first}: not valid CSV: {reason}.") from error


def _next_fields(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the fields of the next row, however long they are; None at the end.

    The limit of 131,072 characters is one of the whole process, so it is lifted for the one row alone.
    """
    usual = csv.field_size_limit(_LONGEST_FIELD)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(usual)


def _read_json(path: Path) -> Iterator[_RawRow]:
    """Yield the rows of JSON lines, or of one JSON array of objects."""
    lines = ((number, line) for number, line in lines_of(path) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        found = _parsed(text_of(path), path.name, "line")
        entries: Iterable[tuple[str, Any]] = ((f"entry {number}", entry) for number, entry in enumerate(found, 1))
    else:
        entries = (
            (f"line {number}", _parsed(line, f"{path.name}, line {number}", "column"))
            for number, line in itertools.chain((first,), lines)
        )
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise Sst2Error(f"{path.name}, {place}: an object with 'sentence' and 'label' is wanted.")
        _check_columns(list(entry), f"{path.name}, {place}")
        yield _RawRow(place, entry["sentence"], entry["label"])


def _parsed(text: str, where: str, unit: Literal["line", "column"]) -> Any:
    try:
        return json_of(text)
    except NotJsonError as error:
        place = getattr(error, unit)
        at = f", {unit} {place}" if place else ""
        raise Sst2Error(f"{where}{at}: not valid JSON: {error}.") from None


def _read_parquet(path: Path) -> Iterator[_RawRow]:
    values = parquet_values(path, COLUMNS, functools.partial(_check_schema, name=path.name))
    for number, (sentence, label) in enumerate(values, 1):
        yield _RawRow(f"row {number}", sentence, label)


READERS: dict[str, Callable[[Path], Iterator[_RawRow]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
