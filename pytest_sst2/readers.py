"""Readers: a file of sentences and labels in, checked rows out, and a sentence with file and line when it is broken."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pytest_sst2.errors import Sst2Error

COLUMNS = ("sentence", "label")


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
            no rows. The message names the file and the line.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Sst2Error(f"{path} cannot be read: only {', '.join(READERS)} files are.")
    try:
        rows = check_rows(reader(path), path.name)
    except OSError as error:
        raise Sst2Error(f"{path} cannot be read: {error.strerror or error}.") from error
    if not rows.sentences:
        raise Sst2Error(f"{path} has no rows: at least one sentence with its label is needed.")
    return rows


def check_rows(raw: Iterable[_RawRow], name: str) -> Rows:
    """Check every row and gather sentences and labels.

    Raises:
        Sst2Error: A sentence is not text or is empty, or a label is neither 0 nor 1.
    """
    rows = Rows([], [])
    for place, sentence, label in raw:
        if not isinstance(sentence, str) or not sentence.strip():
            shown = "empty" if sentence is None or isinstance(sentence, str) else _shown(sentence)
            raise Sst2Error(f"{name}, {place}: the sentence is {shown}; text is wanted.")
        if not _encodable(sentence):
            raise Sst2Error(f"{name}, {place}: the sentence {ascii(sentence)[:60]} holds half a surrogate pair.")
        # 1.0 is what pandas makes of 1 in a column that once had a gap.
        whole = int(label) if isinstance(label, float) and label in (0.0, 1.0) else label
        number = str(whole).strip() if isinstance(whole, str | int) and not isinstance(whole, bool) else ""
        if number not in ("0", "1"):
            hint = " (-1 marks the unlabelled test split, which cannot be scored)" if number == "-1" else ""
            raise Sst2Error(
                f"{name}, {place}: the label is {_shown(label)}; only 0 (negative) and 1 (positive) are allowed{hint}."
            )
        rows.sentences.append(sentence)
        rows.labels.append(int(number))
    return rows


def _shown(value: Any) -> str:
    """Return the value as Python writes it, cut to what fits in a sentence."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def table_rows(columns: dict[str, list[Any]], name: str) -> Iterator[_RawRow]:
    """Yield the rows of a table given by columns.

    Raises:
        Sst2Error: ``sentence`` or ``label`` is not among them.
    """
    _check_columns(list(columns), name)
    for number, (sentence, label) in enumerate(zip(columns["sentence"], columns["label"], strict=True), 1):
        yield _RawRow(f"row {number}", sentence, label)


def _check_columns(found: list[str], name: str) -> None:
    for column in COLUMNS:
        if found.count(column) != 1:
            problem = f"there is no column {column!r}" if column not in found else f"column {column!r} occurs twice"
            shown = ", ".join(repr(text[:40]) for text in found[:6]) or "none"
            raise Sst2Error(f"{name}: {problem}. Its columns are {shown}; 'sentence' and 'label' are needed.")


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Sst2Error(f"{path.name}, line {line}: not valid UTF-8. Convert the file to UTF-8.") from None


def _read_tsv(path: Path) -> Iterator[_RawRow]:
    """Yield the rows of a TSV file as GLUE writes it: tabs separate, and quotes are ordinary characters."""
    lines = _text(path).replace("\r\n", "\n").split("\n")
    header = lines[0].split("\t")
    _check_columns(header, f"{path.name}, line 1")
    sentence, label = (header.index(column) for column in COLUMNS)
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        fields = line.split("\t")
        if len(fields) != len(header):
            raise Sst2Error(f"{path.name}, line {number}: {len(fields)} columns where the header has {len(header)}.")
        yield _RawRow(f"line {number}", fields[sentence], fields[label])


def _read_csv(path: Path) -> Iterator[_RawRow]:
    first = 1
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_columns(header, f"{path.name}, line 1")
        sentence, label = (header.index(column) for column in COLUMNS)
        first = reader.line_num + 1  # of the row that is read next: a quoted sentence may run over lines
        for fields in reader:
            place, first = f"line {first}", reader.line_num + 1
            if fields and len(fields) != len(header):
                raise Sst2Error(
                    f"{path.name}, {place}: {len(fields)} columns where the header has {len(header)}. "
                    "Sentences with commas need quotes around them."
                )
            if fields:
                yield _RawRow(place, fields[sentence], fields[label])
    except csv.Error as error:
        raise Sst2Error(f"{path.name}, line {first}: not valid CSV: {error}.") from error


def _read_json(path: Path) -> Iterator[_RawRow]:
    """Yield the rows of JSON lines, or of one JSON array of objects."""
    text = _text(path)
    if text.lstrip().startswith("["):
        entries: Iterable[tuple[str, Any]] = (
            (f"entry {number}", entry) for number, entry in enumerate(_parse_json(text, path.name, "line"), 1)
        )
    else:
        lines = text.replace("\r\n", "\n").split("\n")
        entries = (
            (f"line {number}", _parse_json(line, f"{path.name}, line {number}", "column"))
            for number, line in enumerate(lines, 1)
            if line.strip()
        )
    for place, entry in entries:
        if not isinstance(entry, dict):
            raise Sst2Error(f"{path.name}, {place}: an object with 'sentence' and 'label' is wanted.")
        _check_columns(list(entry), f"{path.name}, {place}")
        yield _RawRow(place, entry["sentence"], entry["label"])


def _parse_json(text: str, where: str, unit: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = getattr(error, "lineno" if unit == "line" else "colno", None)
        at = f", {unit} {place}" if place else ""
        raise Sst2Error(f"{where}{at}: not valid JSON.") from None


def _read_parquet(path: Path) -> Iterator[_RawRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        columns = {name: table.column(name).to_pylist() if name in COLUMNS else [] for name in table.column_names}
    except (pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise Sst2Error(f"{path.name}: not a readable parquet file: {reason}.") from error
    yield from table_rows(columns, path.name)


READERS: dict[str, Callable[[Path], Iterator[_RawRow]]] = {
    ".tsv": _read_tsv,
    ".csv": _read_csv,
    ".jsonl": _read_json,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
