"""Outgoing: a text as it may leave the program, whoever wrote it: without secrets and without control characters.

What reaches a terminal or a report may have been written by the author of a model, of a data set, of a results file.
A control character would let it move the cursor, change the window's title or the clipboard, and hide what stands
there; an override of the direction of writing would show other words than are there.
"""

from __future__ import annotations

import re

from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.redact import redacted

# A sentence of SST-2 has at most 268 characters, a line that names many cells some thousands.
MOST_CHARACTERS = 5_000

_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Control characters but for tab and line feed; those that are invisible, but for the joiners that letters and emoji
# need; embeddings, overrides and isolates of direction; halves of surrogate pairs and noncharacters, which are allowed
# neither in XML nor in UTF-8.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Return text without secrets, every line end as one line feed, and � for all that no report can show."""
    return _without_controls(redacted(text))


def _without_controls(text: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub("\n", text))


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return printable text on one line, cut after ``most`` characters: it can begin no line of its own."""
    # Redacted before it is cut: half a secret would not be known for one. The rest is not done for what is not shown.
    shown = _without_controls(redacted(text)[: 4 * most]).replace("\t", " ")
    if "\n" in shown:
        shown = " ".join(filter(None, map(str.strip, shown.split("\n"))))
    return truncate(shown, most)


def plain_json(text: str) -> str:
    """Return JSON in which all that cannot be shown is escaped, and which says the same."""
    # In JSON such a character can only stand within a string.
    return _UNPRINTABLE.sub(lambda found: "".join(f"\\u{unit:04x}" for unit in _units(found[0])), text)


def _units(character: str) -> list[int]:
    """Return the UTF-16 code units of a character."""
    code = ord(character)
    return [code] if code < 0x10000 else [0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF)]
