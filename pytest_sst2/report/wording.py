"""Wording: numbers and counts as they are said in every report."""

from __future__ import annotations

from collections.abc import Sequence

_MINUS = "−"


def counted(number: int, noun: str) -> str:
    """Return ``1 record`` or ``2 records``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shortened(names: Sequence[str], most: int = 8) -> str:
    """Return ``a, b and 12 more``."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def signed_points(share: float, digits: int = 2) -> str:
    """Return a share as signed percentage points; zero has no sign."""
    text = f"{100 * share:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def p_value(p: float) -> str:
    """Return a p-value to four digits."""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"
