"""Damaged inputs for readers, and the contract of every reader: a valid value, or one printable sentence.

Each reader has one property test in the tests of its room. `SST2_FUZZ_EXAMPLES=5000 pytest tests -k fuzzed` draws that
many random inputs for each reader; without the variable, the same few are drawn every time.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line

# A file's name, the problem and a way on fit into it; a longer message would pour a file into the terminal.
LONGEST_SENTENCE = 2200
DEEP = 100_000
HUGE = 10**4000

_EXAMPLES = os.environ.get("SST2_FUZZ_EXAMPLES")
FUZZ = settings(
    max_examples=int(_EXAMPLES or 40),
    derandomize=_EXAMPLES is None,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)

_ODD_BYTES = b"\0\1\2\x7f\x80\xfe\xff"
_TEXTS = (
    *("NaN", "Infinity", "1", "0", "a", " ", "\x1b[2J", "\x00", "\ud83d", "\u202e", "👩‍👩‍👧", "AAAA", "===="),
    *("eJwDAAAAAAE=", "/w==", "../..", "validation", "quick", "1/999999", "3/8"),
)
# Valid JSON that no reader expects in most places.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1.0, 10**12, -(10**12), 10**15, 2**63, 10**4299, 1e308, 1e-320),
    *(float("nan"), float("inf"), float("-inf"), "", *_TEXTS, "a" * 5000),
    *([], {}, [[]], [{}], {"": None}, [1, 0], [0.5], [True], ["x"], [None] * 4, {"count": 10**15, "bits": ""}),
)


def refusal(read: Callable[[bytes], object], data: bytes, name: str = "") -> str:
    """Return the sentence with which a reader refuses an input, or an empty string if it accepts the input.

    Args:
        read: Reads the input and asserts that the value is valid. Any exception but ``Sst2Error`` propagates.
        data: The input.
        name: What the sentence must contain, for example the file's name.
    """
    try:
        read(data)
    except Sst2Error as error:
        return checked_sentence(str(error), name)
    return ""


def checked_sentence(text: str, name: str = "") -> str:
    """Return a sentence unchanged, after asserting that it is one printable line of bounded length."""
    assert text.strip()
    assert one_line(text) == text
    assert len(text) <= LONGEST_SENTENCE
    assert name in text
    return text


@st.composite
def damaged_bytes(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """Return one of some valid files with bytes changed, removed, doubled or moved, or with its end cut off."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(0, 6))):
        place = draw(st.integers(0, len(content)))
        length = draw(st.integers(1, 16))
        damage = draw(st.sampled_from(("change", "fill", "remove", "double", "move", "cut")))
        if damage == "change":
            content[place : place + 1] = draw(st.binary(min_size=1, max_size=1))
        elif damage == "fill":
            content[place : place + length] = bytes([draw(st.sampled_from(_ODD_BYTES))]) * length
        elif damage == "remove":
            del content[place : place + length]
        elif damage == "double":
            content[place:place] = content[place : place + length]
        elif damage == "move":
            source = draw(st.integers(0, len(content)))
            content[place : place + length] = content[source : source + length]
        else:
            del content[place:]
    return bytes(content)


def damaged_text(files: Sequence[bytes], words: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for text: the beginning of a valid file, then its lines, words of its format, and bytes."""
    lines = sorted({line + b"\n" for content in files for line in content.split(b"\n")})
    piece = st.one_of(st.sampled_from([*lines, *words]), st.binary(max_size=4))
    parts = st.tuples(st.sampled_from(files), st.integers(0, 400), st.lists(piece, max_size=8))
    return st.one_of(st.sampled_from(files), parts.map(lambda drawn: drawn[0][: drawn[1]] + b"".join(drawn[2])))


@st.composite
def damaged_json(draw: st.DrawFn, value: Any) -> Any:
    """Return a JSON value with parts replaced, removed, copied to other places, or added."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(0, 4))):
        places = list(_places(value))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        damage = draw(st.sampled_from(("replace", "replace", "remove", "copy", "add")))
        if damage == "replace":
            holder[key] = copy.deepcopy(draw(st.sampled_from(ODD_VALUES)))
        elif damage == "remove":
            del holder[key]
        elif damage == "copy":
            source, source_key = draw(st.sampled_from(places))
            holder[key] = copy.deepcopy(source[source_key])
        elif isinstance(holder, dict):
            holder[str(draw(st.sampled_from(ODD_VALUES)))] = copy.deepcopy(holder[key])
        else:
            holder.insert(key, copy.deepcopy(holder[key]))
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every holder and key in a value, outer ones first."""
    if isinstance(value, dict | list):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield value, key
        for key in keys:
            yield from _places(value[key])
