"""The one error a person at the terminal is meant to read."""

from __future__ import annotations


class Sst2Error(Exception):
    """A sentence for the person at the terminal.

    The message says what went wrong, what was given, what is allowed and what to do next.
    It is shown as it stands, without a traceback, so it must make sense alone.

    Files, models and servers have their say in it. So it is one line, and whatever in it is no text (a control
    character that would clear a screen, half a surrogate pair, a turn of the writing direction) is written as Python
    writes it: ``\\x1b``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(as_text(message))


def as_text(message: str) -> str:
    """Return a message in one line of what can be printed; what cannot be is written as Python writes it."""
    if message.isprintable():
        return message
    return "".join(
        sign if sign.isprintable() else " " if sign == "\n" else sign.encode("unicode_escape").decode("ascii")
        for sign in message
    )


def shortened_text(text: str, longest: int) -> str:
    """Return a text cut to this many characters, with an ellipsis where something was cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
