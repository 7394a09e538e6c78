"""Make text safe to print: without secrets, control characters and characters that the output cannot encode.

Text on a terminal or in a report may come from the author of a model, a data set or a results file. Control characters
could move the cursor, change the window title or the clipboard, or hide text. Bidirectional overrides could show other
words than the text has.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.redact import redacted

# A sentence of SST-2 has at most 268 characters; a line that names many cells has some thousands.
MOST_CHARACTERS = 5_000

# Commands that a CI service reads from a log: GitHub's at the start of a line or after ##, those of Azure and TeamCity.
_CI_COMMAND = re.compile(r"(?m)^[^\S\n]*:(?=:)|#(?=#(?:\[|(?i:vso|teamcity)\[))")
_LINE_ENDS = re.compile("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]")
# Control characters except tab and line feed; invisible characters except the joiners that letters and emoji need;
# bidirectional embeddings, overrides and isolates; lone surrogates and noncharacters, which XML and UTF-8 don't allow.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u180e\u200b\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0000-\U000e007f]"
)
# Typographic characters of our reports and the ASCII character that replaces each. One for one: columns keep their
# width.
_NEAREST = str.maketrans("·×–—−±Δ…→✓✗⚠✅❌≤≥‘’“”", "|x---+D~>ox!ox<>''\"\"")
_NEAREST_ASCII = "pytest-sst2-nearest-ascii"  # an error handler of str.encode


def printable(text: str) -> str:
    """Return text without secrets, with line feeds as line ends and � in place of every unprintable character.

    A command that a CI service would read from its log gets a space: ``::error::`` becomes ``: :error::``.
    """
    return _CI_COMMAND.sub(r"\g<0> ", _without_controls(redacted(text)))


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """Return printable text as one line of at most ``most`` characters."""
    # Redact before truncating: a part of a secret would not be recognised. Only the part to show is cleaned.
    line = _without_controls(redacted(text)[: 4 * most]).replace("\t", " ")
    if "\n" in line:
        line = " ".join(filter(None, map(str.strip, line.split("\n"))))
    return truncate(_CI_COMMAND.sub(r"\g<0> ", line), most)


def plain_json(text: str) -> str:
    """Return JSON of the same value, with every unprintable character escaped."""
    # In JSON such a character can only be part of a string.
    return _UNPRINTABLE.sub(lambda match: "".join(f"\\u{unit:04x}" for unit in _utf16_units(match[0])), text)


def json_text(value: Any) -> str:
    """Return lists, mappings and plain values as JSON on several lines, without secrets and unprintable characters."""
    return plain_json(json.dumps(redacted(value), ensure_ascii=False, indent=1, default=str))


def encodable(text: str, encoding: str | None) -> str:
    """Return text that an encoding can encode: other characters become the nearest ASCII character, else ``?``.

    If the encoding is None or unknown, the text is returned as it is.
    """
    if encoding is None:
        return text
    try:
        return text.encode(encoding, _NEAREST_ASCII).decode(encoding)
    except LookupError:
        return text


def _nearest_ascii(error: Any) -> tuple[str, int]:
    nearest = error.object[error.start : error.end].translate(_NEAREST)
    return nearest.encode("ascii", "replace").decode(), error.end


codecs.register_error(_NEAREST_ASCII, _nearest_ascii)


def _without_controls(text: str) -> str:
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", _LINE_ENDS.sub("\n", text))


def _utf16_units(char: str) -> list[int]:
    code = ord(char)
    return [code] if code < 0x10000 else [0xD800 + ((code - 0x10000) >> 10), 0xDC00 + (code & 0x3FF)]
