"""The shared parts of a packed file as one compressed text.

Base64 and compressed texts within them hardly compress again. Therefore the bytes of the former follow the compressed
JSON, and the latter are compressed with it.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pytest_sst2.results.packing import (
    UNPACKING_ERRORS,
    packed_bytes,
    packed_text,
    unpacked_bytes,
    unpacked_text,
)
from pytest_sst2.utils.safe_read import LARGEST_BYTES, parse_json

# Shorter texts of base64 or hexadecimal digits stay in the JSON.
_LEAST_ENCODED = 12
# First characters of a text in the JSON that stands for another one: bytes that follow the JSON, as base64 or as
# hexadecimal digits, and how many; the same, compressed; a text that is compressed in the record; and a text that
# begins with one of these characters.
_BASE64, _HEX, _COMPRESSED, _TEXT, _ESCAPED = _MARKS = ("\x01", "\x02", "\x03", "\x04", "\x05")
# Bytes of the numbers that are compressed place by place: codes of tokens, float32, sketches of tensors.
_WIDTHS = (2, 4, 10)
# Compressed bytes are read up to this number.
_MOST_COMPRESSED = 2**20
# In the content of a compressed text, the place of a number, and the character before the numbers.
_NUMBER_PLACE, _NUMBERS = "\x06", "\x07"
_NUMBER = re.compile("[0-9]+")
_HEX_DIGITS = re.compile("(?:[0-9a-f]{2})+")


def pack_shared(shared: Sequence[str]) -> str:
    """Return the JSON texts of shared parts as one compressed text in base85."""
    data = bytearray()

    def separate(text: str) -> str:
        mark, content = _separated(text)
        if isinstance(content, str):
            return mark + content
        data.extend(content)
        return f"{mark}{len(content)}"

    parts = _replaced([json.loads(part) for part in shared], separate)
    packing = zlib.compressobj(9, memLevel=9, zdict=_dictionary())
    text = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return base64.b85encode(packing.compress(text.encode("utf-8", "surrogatepass")) + packing.flush() + data).decode()


def unpack_shared(packed: str | list[Any]) -> list[Any]:
    """Return the shared parts. Files of earlier releases have them as they are."""
    if isinstance(packed, list):
        return packed
    # Files of earlier releases do not use the dictionary, and zlib does not either when it reads them.
    unpacking = zlib.decompressobj(zdict=_dictionary())
    text = unpacking.decompress(base64.b85decode(packed), LARGEST_BYTES)
    if not unpacking.eof:
        raise ValueError(f"its shared parts are truncated, or of more than {LARGEST_BYTES / 2**20:,.0f} MB")
    data, position = unpacking.unused_data, 0

    def join(text: str) -> str:
        nonlocal position
        mark, rest = text[:1], text[1:]
        if mark not in _MARKS or not mark:
            return text
        if mark in (_TEXT, _ESCAPED):
            return packed_text(_with_numbers(rest)) if mark == _TEXT else rest
        begin, position = position, position + int(rest)
        if not begin <= position <= len(data):
            raise ValueError("its shared parts are truncated")
        return _joined(mark, data[begin:position])

    shared: list[Any] = _replaced(parse_json(text.decode("utf-8", "surrogatepass")), join)
    if position != len(data):
        raise ValueError("its shared parts are truncated")
    return shared


def _separated(text: str) -> tuple[str, str | bytes]:
    """Return the mark of a text and what is stored instead of it: a text in the JSON, or bytes after it."""
    if text.startswith(_MARKS):
        return _ESCAPED, text
    if len(text) < _LEAST_ENCODED:
        return "", text
    if _HEX_DIGITS.fullmatch(text):
        return _HEX, bytes.fromhex(text)
    content = _content_of_base64(text)
    if content is None:
        return "", text
    plain = _plain_text(text)
    if plain is not None and not {_NUMBER_PLACE, _NUMBERS} & set(plain):
        return _TEXT, _without_numbers(plain)
    if len(content) > _MOST_COMPRESSED:
        return _BASE64, content
    compressed = [base64.b64decode(packed_bytes(content, compressed=True, width=width)) for width in _WIDTHS]
    return min(((_BASE64, content), *((_COMPRESSED, smaller) for smaller in compressed)), key=lambda one: len(one[1]))


def _joined(mark: str, data: bytes) -> str:
    if mark == _HEX:
        return data.hex()
    text = base64.b64encode(data).decode()
    return packed_bytes(unpacked_bytes(text, compressed=True)) if mark == _COMPRESSED else text


def _without_numbers(text: str) -> str:
    """Return a text followed by the numbers that are taken out of its lines: the first of each line, then the second.

    The lines of two layers then differ in nothing but the numbers.
    """
    of_lines = [_NUMBER.findall(line) for line in text.split("\n")]
    longest = max(map(len, of_lines))
    columns = [numbers[place] for place in range(longest) for numbers in of_lines if place < len(numbers)]
    return f"{_NUMBER.sub(_NUMBER_PLACE, text)}{_NUMBERS}{' '.join(columns)}"


def _with_numbers(stored: str) -> str:
    """Return the text of ``_without_numbers``."""
    text, _, numbers = stored.partition(_NUMBERS)
    lines, columns = [line.split(_NUMBER_PLACE) for line in text.split("\n")], iter(numbers.split())
    joined = [words[0] for words in lines]
    for place in range(1, max(map(len, lines))):
        for line, words in enumerate(lines):
            if place < len(words):
                joined[line] += next(columns, "") + words[place]
    return "\n".join(joined)


def _replaced(value: Any, replace: Callable[[str], str]) -> Any:
    """Return a JSON value with every text in it replaced, in the order of the text; names stay."""
    if isinstance(value, dict):
        return {name: _replaced(part, replace) for name, part in value.items()}
    if isinstance(value, list):
        return [_replaced(part, replace) for part in value]
    return replace(value) if isinstance(value, str) else value


def _content_of_base64(text: str) -> bytes | None:
    """Return the bytes of a text of base64; None for a text that they are not encoded as."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if base64.b64encode(content).decode() == text else None


def _plain_text(packed: str) -> str | None:
    """Return the text that ``packed_text`` packed; None for other bytes."""
    try:
        text = unpacked_text(packed)
    except UNPACKING_ERRORS:
        return None
    return text if packed_text(text) == packed else None


@functools.cache
def _dictionary() -> bytes:
    """Return texts that records often have, from which zlib copies. Files need it unchanged."""
    return Path(__file__).with_name("packing_dictionary.txt").read_text(encoding="utf-8").encode()
