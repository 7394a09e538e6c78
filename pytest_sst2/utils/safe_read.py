"""Read files that others may have written: their bytes, text or JSON, or an error that says what is wrong."""

from __future__ import annotations

import json
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted

# The content is held in memory, in part several times.
LARGEST_BYTES = 2**28
_MB = 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# First bytes of what is most often saved in place of a file, and the remedy for each.
_PLACEHOLDERS = (
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself. Fetch that: git lfs pull"),
    (
        rb"\s*<(?i:!doctype html|html[\s>])",
        "is a web page, such as a log-in page that was saved in place of the file. Download it again",
    ),
)
# First bytes of the files most often passed instead of text, and the remedy for each.
_OTHER_KINDS = (
    *_PLACEHOLDERS,
    (
        rb"\xff\xfe|\xfe\xff",
        "is UTF-16 text, as Excel and PowerShell write it. Convert it: iconv -f UTF-16 -t UTF-8 {name}",
    ),
    (rb"\x1f\x8b", "is compressed by gzip. Unpack it first: gunzip {name}"),
    (rb"PK\x03\x04", "is a zip archive, as spreadsheets (.xlsx) are too. Unpack it, or save the sheet as CSV in UTF-8"),
    (rb"BZh[1-9]1AY&SY", "is compressed by bzip2. Unpack it first: bunzip2 {name}"),
    (rb"\xfd7zXZ\0", "is compressed by xz. Unpack it first: unxz {name}"),
    (rb"\x28\xb5\x2f\xfd", "is compressed by zstd. Unpack it first: unzstd {name}"),
    (rb"PAR1", "is a parquet file. Name it .parquet"),
)


class NotJsonError(ValueError):
    """Text that isn't JSON: the reason, and the line and column if known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.line, self.column = line, column

    @property
    def placed(self) -> str:
        """The reason, with line and column if known."""
        return f"{self} in line {self.line:,}, column {self.column:,}" if self.line else str(self)


def check_regular_file(path: Path, largest: int = LARGEST_BYTES) -> None:
    """Raise unless the path is a regular file of at most ``largest`` bytes. Opening it would block for a pipe."""
    try:
        state = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise Sst2Error(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(state.st_mode):
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "not a regular file but a pipe, a socket or a device"
        raise Sst2Error(f"{path} cannot be read: it is {kind}.")
    if state.st_size > largest:
        raise _too_large(path, state.st_size, largest)


def read_bytes(path: Path, largest: int = LARGEST_BYTES) -> bytes:
    """Return the bytes of a regular file; raise as ``check_regular_file``, or if it cannot be read."""
    check_regular_file(path, largest)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise Sst2Error(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > largest:  # the file has grown since the check
        raise _too_large(path, len(data), largest)
    return data


def beginning_of(path: Path) -> bytes:
    """Return the first 512 bytes of a regular file; raise as ``read_bytes``."""
    check_regular_file(path, sys.maxsize)
    try:
        with path.open("rb") as file:
            return file.read(512)
    except OSError as error:
        raise Sst2Error(f"{path} cannot be read: {error.strerror or error}.") from error


def placeholder(beginning: bytes) -> str:
    """Return the kind of content saved in place of a file, as a clause with the remedy, or an empty string."""
    beginning = beginning.removeprefix(_BYTE_ORDER_MARK)
    return next((remedy for pattern, remedy in _PLACEHOLDERS if re.match(pattern, beginning)), "")


def read_text(path: Path, largest: int = LARGEST_BYTES) -> str:
    """Return the text of a UTF-8 file, without its byte order mark; raise as ``read_bytes``, or if it isn't text."""
    data = read_bytes(path, largest)
    _check_kind(path, data)
    try:
        return _decoded(data.removeprefix(_BYTE_ORDER_MARK), str(path))
    except Sst2Error:  # decode again line by line, for the line number
        for _ in read_lines(path, str(path)):
            pass
        raise


def text_of_bytes(data: bytes, name: str) -> str:
    """Return the UTF-8 text of a file that was read elsewhere; raise as ``read_text``, with ``name`` for the file."""
    _check_kind(Path(name), data)
    return _decoded(data.removeprefix(_BYTE_ORDER_MARK), name)


def read_lines(path: Path, name: str = "") -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file with their numbers from 1, line ends included.

    Lines end in LF or CRLF. Without any LF they end in CR, as in Excel's CSV for Macintosh. Errors name the line, and
    the file by ``name``, or by default without its folder.
    """
    data = read_bytes(path)
    _check_kind(path, data)
    end = b"\n" if b"\n" in data or b"\r" not in data else b"\r"
    start, number = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0, 0
    while start < len(data):
        stop = data.find(end, start) + 1 or len(data)
        number += 1
        yield number, _decoded(data[start:stop], f"{name or path.name}, line {number}")
        start = stop


def read_json(path: Path, largest: int = LARGEST_BYTES) -> Any:
    """Return the value of a JSON file of at most ``largest`` bytes; raise as ``read_text``, or if it isn't JSON."""
    try:
        return parse_json(read_text(path, largest))
    except NotJsonError as error:
        raise Sst2Error(f"{path} is not readable JSON: {error.placed}.") from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text whose objects have no duplicate keys.

    Raises:
        NotJsonError: The text isn't JSON, is nested too deeply, or has a duplicate key or a number of more than
            4,300 digits.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error
    except ValueError as error:
        # What follows is advice to programmers.
        raise NotJsonError(str(error).partition("; use ")[0]) from error


def is_utf8(text: str) -> bool:
    """Return whether the text can be encoded as UTF-8: without lone surrogates, as names of other encodings have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_large(path: Path, size: int, largest: int) -> Sst2Error:
    return Sst2Error(
        f"{path} cannot be read: it has {size / _MB:,.0f} MB, and at most {largest / _MB:,.0f} MB are allowed."
    )


def _check_kind(path: Path, data: bytes) -> None:
    """Raise if the first bytes show a file that isn't UTF-8 text."""
    for beginning, remedy in _OTHER_KINDS:
        if re.match(beginning, data):
            raise Sst2Error(f"{path} {remedy.format(name=path.name)}.")


def _decoded(data: bytes, where: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Sst2Error(f"{where}: not valid UTF-8. Convert the file to UTF-8.") from None
    if "\0" in text:
        raise Sst2Error(
            f"{where}: a NUL character, which no text has. The file is damaged, or is UTF-16 without a byte order "
            "mark; then convert it: iconv -f UTF-16LE -t UTF-8."
        )
    return text


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        duplicate = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJsonError(f"{quoted(duplicate)} occurs twice in one object")
    return values
