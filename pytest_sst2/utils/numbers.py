"""Wording: numbers as they are said in every report."""

from __future__ import annotations

_MINUS = "−"


def signed_points(share: float, digits: int = 2) -> str:
    """Return a share as signed percentage points; zero has no sign."""
    text = f"{100 * share:+.{digits}f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def p_value(p: float) -> str:
    """Return a p-value to four digits."""
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"
