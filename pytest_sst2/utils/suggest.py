"""Suggest the nearest known name for a misspelt one."""

from __future__ import annotations

from collections.abc import Iterable


def closest(text: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """Return the known name that is most like the text; empty if none has this similarity, from 0 to 1."""
    import difflib  # only a mistake pays for this import

    return next(iter(difflib.get_close_matches(text, known, n=1, cutoff=similarity)), "")


def did_you_mean(name: str) -> str:
    """Return the question to append to an error, with a leading space; empty without a name."""
    return f" Did you mean {name!r}?" if name else ""
