"""Files that somebody else may have written: their bytes and text, or a sentence that says what they are instead."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error

# What is read stands in memory, some of it several times over.
LARGEST_BYTES = 2**28
_MB = 2**20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# What files begin with that are given for text most often, and what to do about it.
_OTHER_KINDS = (
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
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file itself. Fetch that: git lfs pull"),
)


def content_of(path: Path, largest: int = LARGEST_BYTES) -> bytes:
    """Return an ordinary file's bytes.

    Raises:
        Sst2Error: As ``check_ordinary``, or it cannot be read.
    """
    check_ordinary(path, largest)
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
    except OSError as error:
        raise Sst2Error(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > largest:  # it has grown since
        raise _too_large(path, len(data), largest)
    return data


def check_ordinary(path: Path, largest: int = LARGEST_BYTES) -> None:
    """Refuse, before it is opened, what is no file of bearable size: to open a pipe is to wait for a writer.

    Raises:
        Sst2Error: It is not there, a folder, a pipe, a device, a link in a circle, or too large.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL in it
        raise Sst2Error(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file but a pipe, a socket or a device"
        raise Sst2Error(f"{path} cannot be read: it is {kind}.")
    if found.st_size > largest:
        raise _too_large(path, found.st_size, largest)


def _too_large(path: Path, size: int, largest: int) -> Sst2Error:
    return Sst2Error(
        f"{path} cannot be read: it has {size / _MB:,.0f} MB, and at most {largest / _MB:,.0f} MB are read into memory."
    )


def text_of(path: Path, largest: int = LARGEST_BYTES) -> str:
    """Return the text of a file in UTF-8, without its byte order mark.

    Raises:
        Sst2Error: As ``content_of``; or it is no text in UTF-8.
    """
    data = content_of(path, largest)
    refuse_other_kinds(path, data)
    try:
        return _decoded(data.removeprefix(_BYTE_ORDER_MARK), str(path))
    except Sst2Error:  # again, for the number of the line
        for _ in lines_of(path, str(path)):
            pass
        raise


def lines_of(path: Path, name: str = "") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers from 1, and their ends as they stand.

    Lines end in LF or CRLF; where there is no LF at all, in CR, as Excel still writes it for a Macintosh.

    Args:
        path: The file.
        name: What it is called in messages; by default its name without the folder.

    Raises:
        Sst2Error: As ``text_of``; the message names the line.
    """
    data = content_of(path)
    refuse_other_kinds(path, data)
    end = b"\n" if b"\n" in data or b"\r" not in data else b"\r"
    start, number = len(_BYTE_ORDER_MARK) if data.startswith(_BYTE_ORDER_MARK) else 0, 0
    while start < len(data):
        stop = data.find(end, start) + 1 or len(data)
        number += 1
        yield number, _decoded(data[start:stop], f"{name or path.name}, line {number}")
        start = stop


def _decoded(data: bytes, where: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Sst2Error(f"{where}: not valid UTF-8. Convert the file to UTF-8.") from None
    if "\0" in text:
        raise Sst2Error(
            f"{where}: a NUL character, which no text has. The file is damaged, or is UTF-16 without its mark; then "
            "convert it: iconv -f UTF-16LE -t UTF-8."
        )
    return text


def refuse_other_kinds(path: Path, data: bytes) -> None:
    """Refuse what is known by its first bytes to be no UTF-8 text.

    Raises:
        Sst2Error: What it is, and what to do.
    """
    for beginning, what in _OTHER_KINDS:
        if re.match(beginning, data):
            raise Sst2Error(f"{path} {what.format(name=path.name)}.")


def is_utf8(text: str) -> bool:
    """Tell whether a text can be written as UTF-8: half a surrogate pair cannot, nor a file's name of other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
