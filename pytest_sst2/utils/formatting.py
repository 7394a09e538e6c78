"""Format numbers, counts, lists and values for messages and reports."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_MINUS = "−"
# Parentheses and quotation marks that a truncated sentence must not leave open.
_PAIRED = (("(", ")"), ("“", "”"))


def plural(number: int, noun: str) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shorten(names: Sequence[str], most: int = 8) -> str:
    """Return ``a, b and 12 more``: at most ``most`` names and the number of the others."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def truncate(text: str, most: int) -> str:
    """Return at most ``most`` characters of a text; the last of them is … if some are missing."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def leading_clauses(text: str, most: int) -> str:
    """Return a sentence of at most ``most`` characters, cut where a clause ends if possible; … marks the cut."""
    if len(text) <= most:
        return text
    head = text[: most - 2]
    ends = [match.start() for match in re.finditer(r": |; | \(", head)]
    whole = [end for end in ends if all(head.count(one, 0, end) == head.count(other, 0, end) for one, other in _PAIRED)]
    return f"{head[: whole[-1]]} …" if whole and whole[-1] >= most // 8 else truncate(text, most)


def quoted(value: Any, most: int = 100) -> str:
    """Return a value for a message: its ``repr()``, truncated, or the size of a container or of a huge number."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 100:
        return "a number of more than 30 digits"
    # A file may hold a text of 100 MB.
    return truncate(repr(value[:most] if isinstance(value, str | bytes) else value), most)


def duration(seconds: float) -> str:
    """Return ``12 s``, ``3 min`` or ``2 h 5 min``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def signed_points(share: float, digits: int = 2) -> str:
    """Return a share as signed percentage points; zero has no sign."""
    text = f"{100 * share:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def points_text(share: float) -> str:
    """Return a share as percentage points: ``1 point``, ``0.125 points``."""
    number = f"{100 * share:.6g}"
    return f"{number} point" if number == "1" else f"{number} points"


def relative_margin(margin: float) -> str:
    """Return ``±40 %``, or ``a factor of 3.5`` if the margin is more than 100 %."""
    if margin >= 9:
        return "a factor of 10 or more"
    return f"±{100 * margin:.0f} %" if margin <= 1 else f"a factor of {1 + margin:.1f}"


def p_value(p: float) -> str:
    """Return a p-value with four digits."""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"
