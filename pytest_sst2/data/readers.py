"""Read sentences and labels from a file, and check every row. Errors name the file and the line."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pytest_sst2.data.arrow import ChooseColumns, arrow_values, parquet_values
from pytest_sst2.data.row_format import LABELS_OPTION, RowFormat
from pytest_sst2.data.tsv_quoting import is_escaped, is_quoted
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate
from pytest_sst2.utils.safe_read import NotJsonError, is_utf8, parse_json, read_lines, read_text

# All rows of a split are in memory: at most 4 million sentences, or 256 million characters.
MAX_ROWS = 2**22
MAX_CHARACTERS = 2**28
# The largest limit that csv accepts on platforms with a 32-bit C long.
_MAX_FIELD_CHARACTERS = 2**31 - 1


class Rows(NamedTuple):
    """The sentences and labels (0 or 1) of one split, in file order."""

    sentences: list[str]
    labels: list[int]


class _RawRow(NamedTuple):
    place: str
    sentence: Any
    label: Any


def read_rows(path: Path, form: RowFormat | None = None) -> Rows:
    """Return the rows of a file; see ``read_file``."""
    return read_file(path, form or RowFormat())[0]


def read_file(path: Path, form: RowFormat) -> tuple[Rows, bool]:
    """Read a file in the format of its suffix: .tsv, .csv, .jsonl, .json or .parquet.

    ``form`` decides which columns and labels are read; others are ignored and refused.

    Returns:
        The rows, and whether it is a TSV file with quoted fields, which GLUE does not write.

    Raises:
        Sst2Error: A column is missing, a label is of neither class, a sentence is empty, the text is not UTF-8, or
            there are no rows or too many. The message names the file and the line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Sst2Error(f"{path} cannot be read: its suffix must be one of {', '.join(READERS)}.")
    is_quoted_tsv = reader is _read_tsv and _is_quoted_tsv(path)
    raw = _read_delimited(path, form, "\t") if is_quoted_tsv else reader(path, form)
    rows = check_rows(raw, path.name, form)
    if not rows.sentences:
        raise Sst2Error(f"{path} has no rows: at least one sentence with its label is needed.")
    return rows, is_quoted_tsv


def check_rows(raw: Iterable[_RawRow], name: str, form: RowFormat) -> Rows:
    """Check every row and collect the sentences and labels; raise for invalid rows, and for too many."""
    rows = Rows([], [])
    characters = 0
    for place, sentence, label in raw:
        number = form.number(label)
        if number is None or _is_invalid(sentence):
            raise Sst2Error(f"{name}, {place}: {_problem(sentence, label, form)}")
        characters += len(sentence)
        if len(rows.labels) == MAX_ROWS or characters > MAX_CHARACTERS:
            raise Sst2Error(
                f"{name}, {place}: the split is too large; at most {MAX_ROWS:,} rows and {MAX_CHARACTERS // 2**20:,} "
                "million characters are allowed. Keep only a part of its rows: recipes train on the first rows of a "
                "shuffle."
            )
        rows.sentences.append(sentence)
        rows.labels.append(number)
    return rows


def _is_invalid(sentence: Any) -> bool:
    return type(sentence) is not str or not sentence or sentence.isspace() or "\0" in sentence or not is_utf8(sentence)


def _problem(sentence: Any, label: Any, form: RowFormat) -> str:
    """Return a sentence that describes the problem of an invalid row."""
    if sentence is None or (isinstance(sentence, str) and not sentence.strip()):
        return "the sentence is empty; it must contain text."
    if not isinstance(sentence, str):
        return f"the sentence is {quoted(sentence)}; it must be text."
    if not is_utf8(sentence):
        return f"the sentence {ascii(sentence)[:60]} contains half a surrogate pair; it must be valid Unicode."
    if "\0" in sentence:
        return f"the sentence {quoted(sentence)} contains a NUL character. Remove it."
    # Digits of other scripts can look the same as ASCII digits.
    in_ascii = f", in ASCII {truncate(ascii(label), 80)}" if isinstance(label, str) and not label.isascii() else ""
    unlabelled = isinstance(label, str | int | float) and quoted(label).strip("' ") in ("-1", "-1.0")
    hint = " (-1 marks the unlabelled test split, which cannot be scored)" if unlabelled else ""
    if hint and not form.has_labels:
        hint += f"; if it means negative, add {LABELS_OPTION}=-1,1"
    others = "" if hint or form.has_labels else f". {LABELS_OPTION} NEGATIVE,POSITIVE names others"
    return f"the label is {quoted(label)}{in_ascii}; only {form.wanted_labels} are allowed{hint}{others}."


def arrow_rows(paths: Iterable[Path], form: RowFormat) -> Iterator[_RawRow]:
    """Yield the rows of the Arrow files of one saved split; raise if a file lacks a column or is damaged."""
    parts = (_named_values(arrow_values, path, str(path), form) for path in paths)
    for number, (sentence, label) in enumerate(itertools.chain.from_iterable(parts), 1):
        yield _RawRow(f"row {number}", sentence, label)


def _named_values(
    read: Callable[[Path, ChooseColumns], Iterator[tuple[Any, ...]]], path: Path, name: str, form: RowFormat
) -> Iterator[tuple[Any, Any]]:
    """Yield sentences and labels; a numbered label is replaced by its name if ``form`` reads the file's labels so."""
    names: list[str] = []

    def choose(columns: Sequence[str], metadata: Mapping[bytes, bytes]) -> tuple[str, str]:
        chosen = form.columns(columns, name)
        classes = _label_names(metadata.get(b"huggingface", b"").decode(errors="replace"), chosen[1])
        names.extend(form.names_to_read(classes, name))
        return chosen

    for sentence, label in read(path, choose):
        is_named = type(label) is int and 0 <= label < len(names)
        yield sentence, names[label] if is_named else label


def _label_names(text: str, column: str) -> list[str]:
    """Return the label names in lower case from the schema metadata of ``datasets``, or none if there are none."""
    try:
        names = parse_json(text)["info"]["features"][column]["names"]
        return [name.lower() for name in names]
    except (NotJsonError, LookupError, TypeError, AttributeError):
        return []


def _is_quoted_tsv(path: Path) -> bool:
    """Return whether the fields of a TSV file are quoted; raise if they are quoted in a way that is not supported."""
    text = read_text(path)
    if is_escaped(text):
        raise Sst2Error(
            f'{path.name}: its sentences are in quotes, with \\" for a quote inside. Write it with doubled quotes '
            '(in R: write.table(..., qmethod = "double")), or without quotes.'
        )
    return is_quoted(text)


def _read_tsv(path: Path, form: RowFormat) -> Iterator[_RawRow]:
    """Yield the rows of a TSV file without quoting, as GLUE writes it."""
    lines = ((number, line.removesuffix("\n").removesuffix("\r")) for number, line in read_lines(path))
    header = next(lines, (1, ""))[1].split("\t")
    sentence, label = map(header.index, form.columns(header, f"{path.name}, line 1"))
    for number, line in lines:
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise Sst2Error(f"{path.name}, line {number}: {len(fields)} columns where the header has {len(header)}.")
        yield _RawRow(f"line {number}", fields[sentence], fields[label])


def _read_csv(path: Path, form: RowFormat) -> Iterator[_RawRow]:
    return _read_delimited(path, form, ",")


def _read_delimited(path: Path, form: RowFormat, delimiter: str) -> Iterator[_RawRow]:
    """Yield the rows of a file with quoted fields."""
    first = 1
    reader = csv.reader((line for _, line in read_lines(path)), strict=True, delimiter=delimiter)
    try:
        header = _next_fields(reader) or []
        sentence, label = map(header.index, form.columns(header, f"{path.name}, line 1"))
        first = reader.line_num + 1  # first line of the next row: a quoted sentence can span several lines
        while (fields := _next_fields(reader)) is not None:
            place, first = f"line {first}", reader.line_num + 1
            if fields and len(fields) != len(header):
                raise Sst2Error(
                    f"{path.name}, {place}: {len(fields)} columns where the header has {len(header)}. Put quotes "
                    f"around sentences that contain {'commas' if delimiter == ',' else 'tabs'} or line breaks."
                )
            if fields:
                yield _RawRow(place, fields[sentence], fields[label])
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # the rest is advice on calling open()
        kind = "CSV" if delimiter == "," else "quoted TSV"
        raise Sst2Error(f"{path.name}, line {first}: not valid {kind}: {reason}.") from error


def _next_fields(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the fields of the next row, of any length, or None at the end."""
    # The default limit of 131,072 characters is process-wide. Therefore it is raised only while one row is read.
    default = csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(default)


def _read_json(path: Path, form: RowFormat) -> Iterator[_RawRow]:
    """Yield the rows of JSON lines, or of one JSON array of objects."""
    lines = ((number, line) for number, line in read_lines(path) if line.strip())
    first = next(lines, None)
    if first is None:
        return
    if first[1].lstrip().startswith("["):
        array = _parsed(read_text(path), path.name, "line")
        entries: Iterable[tuple[str, Any]] = ((f"entry {number}", entry) for number, entry in enumerate(array, 1))
    else:
        entries = (
            (f"line {number}", _parsed(line, f"{path.name}, line {number}", "column"))
            for number, line in itertools.chain((first,), lines)
        )
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise Sst2Error(f"{path.name}, {place}: not a JSON object; it must have a sentence and a label.")
        sentence, label = form.columns(list(entry), f"{path.name}, {place}")
        yield _RawRow(place, entry[sentence], entry[label])


def _parsed(text: str, where: str, unit: Literal["line", "column"]) -> Any:
    try:
        return parse_json(text)
    except NotJsonError as error:
        place = getattr(error, unit)
        at = f", {unit} {place}" if place else ""
        raise Sst2Error(f"{where}{at}: not valid JSON: {error}.") from None


def _read_parquet(path: Path, form: RowFormat) -> Iterator[_RawRow]:
    for number, (sentence, label) in enumerate(_named_values(parquet_values, path, path.name, form), 1):
        yield _RawRow(f"row {number}", sentence, label)


READERS: dict[str, Callable[[Path, RowFormat], Iterator[_RawRow]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
