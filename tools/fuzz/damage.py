"""Inputs that are nearly valid: a sound file, damaged in the ways that a script of a few bytes says.

Flipping bytes of a whole file finds little in a format with lengths and digests in it: the first check refuses nearly
everything. A fuzzer that writes the script reaches what comes after.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

_ODD_BYTES = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)

# What a JSON value of any place may be that nobody expects there.
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1.0, 10**12, -(10**12), 10**15, 2**63, 10**4299, 1e308, 1e-320),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "NaN",
        "Infinity",
        "1",
        "0",
        "a",
        " ",
        "\x1b[2J",
        "\x00",
        "\ud83d",
    ),
    *("\u202e", "👩‍👩‍👧", "a" * 5000, "AAAA", "====", "eJwDAAAAAAE=", "/w==", "../..", "validation", "quick", [], {}),
    *(
        [[]],
        [{}],
        {"": None},
        [1, 0],
        [0.5],
        [True],
        ["x"],
        [None] * 4,
        {"count": 10**15, "bits": ""},
        "1/999999",
        "3/8",
    ),
)


class Script:
    """The bytes of a script, taken one after the other; 0 when they are at their end."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)
        self.left = len(data)

    def number(self, below: int) -> int:
        """Return a number from 0 to less than ``below``, from one byte or two."""
        found = self._next() if below <= 256 else 256 * self._next() + self._next()
        return found % below if below else 0

    def _next(self) -> int:
        self.left -= 1
        return next(self._data, 0)


def damaged_bytes(files: Sequence[bytes], script: bytes) -> bytes:
    """Return one of some sound files with the damage that a script says: bytes changed, lost, doubled or made up."""
    told = Script(script)
    content = bytearray(files[told.number(len(files))])
    while told.left > 0:
        kind, place = told.number(8), told.number(len(content) + 1)
        length = 1 + told.number(16)
        if kind <= 2:
            content[place : place + 1] = bytes([told.number(256)])
        elif kind == 3:
            content[place : place + length] = bytes([_ODD_BYTES[told.number(len(_ODD_BYTES))]]) * length
        elif kind == 4:
            del content[place : place + length]
        elif kind == 5:
            content[place:place] = content[place : place + length]
        elif kind == 6:
            other = told.number(len(content) + 1)
            content[place : place + length] = content[other : other + length]
        else:
            del content[place:]
    return bytes(content)


def damaged_value(values: Sequence[Any], script: bytes) -> Any:
    """Return one of some values of JSON with the damage that a script says: parts replaced, lost, moved, added."""
    told = Script(script)
    value = copy.deepcopy(values[told.number(len(values))])
    while told.left > 0:
        places = list(_places(value))
        if not places:
            return value
        holder, key = places[told.number(len(places))]
        kind = told.number(6)
        if kind <= 2:
            holder[key] = copy.deepcopy(ODD_VALUES[told.number(len(ODD_VALUES))])
        elif kind == 3:
            del holder[key]
        elif kind == 4:
            other, from_key = places[told.number(len(places))]
            if other is not holder or from_key in _keys(holder):
                holder[key] = copy.deepcopy(other[from_key])
        elif isinstance(holder, dict):
            holder[str(ODD_VALUES[told.number(len(ODD_VALUES))])] = holder[key]
        else:
            holder.insert(key, copy.deepcopy(holder[key]))
    return value


def _keys(holder: Any) -> Sequence[Any] | range:
    return list(holder) if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every holder and key in a value, outer ones first."""
    if isinstance(value, dict | list):
        for key in _keys(value):
            yield value, key
        for key in _keys(value):
            yield from _places(value[key])
