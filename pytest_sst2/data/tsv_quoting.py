"""Recognise whether the fields of a TSV file are quoted.

GLUE writes TSV without quoting, so quotes are part of the sentence. pandas, ``datasets``, R and spreadsheets put some
or all fields into quotes and double the quotes inside, as in CSV.
"""

from __future__ import annotations

import re

_QUOTED = r'"(?:[^"]|"")*+"'
_FIELD = rf"(?:{_QUOTED}|[^\"\t\r\n]*+)"
_SEPARATOR = r"(?:\t|\r\n|\r|\n)"
# Possessive, so that a file of any size is read once.
_QUOTED_FILE = re.compile(rf"{_FIELD}(?:{_SEPARATOR}{_FIELD})*+")
_EACH_FIELD = re.compile(rf"(?:^|(?<=[\t\r\n]))(?:({_QUOTED})|[^\"\t\r\n]++)")
_ESCAPED = r'(?:"(?:[^"\\\t]|\\.)*+"|[^"\t]*+)'
_ESCAPED_LINE = re.compile(rf"{_ESCAPED}(?:\t{_ESCAPED})*+")


def is_quoted(text: str) -> bool:
    """Return whether the fields of a TSV file are quoted as in CSV.

    Every field that contains a quote must then start and end with one and double those inside. One of three things
    must also hold, because ``"fine"`` alone may be a sentence in quotes: a quoted field needs its quotes (it contains a
    quote, a tab or a line break), there are as many quoted fields as rows (the writer quotes all text), or exactly the
    fields with a comma are quoted (a spreadsheet).
    """
    if '"' not in text or not _QUOTED_FILE.fullmatch(text):
        return False
    fields = [(match[0], match[1] is not None) for match in _EACH_FIELD.finditer(text)]
    quoted = [field[1:-1] for field, has_quotes in fields if has_quotes]
    rows = sum(1 for line in text.splitlines() if line) - 1  # at least the number of rows: line breaks may be quoted
    return (
        any(character in field for field in quoted for character in '"\t\r\n')
        or len(quoted) >= rows > 1
        or all((("," in field) == has_quotes) for field, has_quotes in fields)
    )


def is_escaped(text: str) -> bool:
    r"""Return whether all rows are quoted with ``\"`` for a quote inside, as R's ``write.table`` writes by default."""
    lines = [line for line in text.splitlines() if line]
    return len(lines) > 1 and '\\"' in text and all(_ESCAPED_LINE.fullmatch(line) for line in lines)
