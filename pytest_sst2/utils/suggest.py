"""Suggest the nearest known name for a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def closest(text: str, known: Iterable[str]) -> str:
    """Return the known name that is most like the text; empty if none is near."""
    import difflib  # only a mistake pays for this import

    return next(iter(difflib.get_close_matches(text, known, n=1)), "")


def did_you_mean(name: str) -> str:
    """Return the question to append to an error, with a leading space; empty without a name."""
    return f" Did you mean {name!r}?" if name else ""
