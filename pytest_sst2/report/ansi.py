"""Colour the verdict words of a report, for terminals that support colours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Colour = Literal["red", "green", "yellow"]
Markup = Callable[[str, Colour], str]
"""Returns a text in a colour, or the text alone without colours."""

_COLOURS: dict[str, Colour] = {
    "FAILS": "red",
    "FAILED": "red",
    "BELOW FLOOR": "red",
    "REGRESSED": "red",
    "ERROR": "red",
    "CANNOT COMPARE": "yellow",
    "INCOMPARABLE": "yellow",
    "warning": "yellow",
    "HOLDS": "green",
    "pass": "green",  # nosec B105 - a colour
    "improved": "green",
}
# At the end of a line (the table's verdicts), at its start (a headline or finding), or between two columns.
_WORDS = re.compile(rf"(?:^|(?<=  ))({'|'.join(_COLOURS)})(?=:|  |$)")
_ANSI = {"red": 31, "green": 32, "yellow": 33}


def coloured(line: str, markup: Markup) -> str:
    """Return a line of a report with its verdict words in colour."""
    return _WORDS.sub(lambda match: markup(match[0], _COLOURS[match[0]]), line)


def ansi(text: str, colour: Colour) -> str:
    """Return a text in a colour, as an ANSI escape sequence."""
    return f"\x1b[{_ANSI[colour]}m{text}\x1b[0m"
