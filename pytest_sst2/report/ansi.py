"""Colour: the words of a verdict, on a terminal that shows colours."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Colour = Literal["red", "green", "yellow"]
Markup = Callable[[str, Colour], str]
"""From a text and a colour to the text in that colour, or to the text alone where there are no colours."""

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
# At the end of a line (the table's verdicts), at its start (a sentence's), or between two columns.
_WORDS = re.compile(rf"(?:^|(?<=  ))({'|'.join(_COLOURS)})(?=:|  |$)")
_ANSI = {"red": 31, "green": 32, "yellow": 33}


def coloured(line: str, markup: Markup) -> str:
    """Return a line of a report with the words of its verdict in colour."""
    return _WORDS.sub(lambda found: markup(found[0], _COLOURS[found[0]]), line)


def ansi(text: str, colour: Colour) -> str:
    """Return a text in a colour, for a terminal that understands ANSI's codes."""
    return f"\x1b[{_ANSI[colour]}m{text}\x1b[0m"
