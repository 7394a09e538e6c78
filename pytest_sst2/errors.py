"""The one error a person at the terminal is meant to read."""

from __future__ import annotations


class Sst2Error(Exception):
    r"""A sentence for the person at the terminal.

    The message says what went wrong, what was given, what is allowed and what to do next.
    It is shown as it stands, without a traceback, so it must make sense alone.

    Files, models and servers have their say in it. So it is one line, and whatever in it is no text (a control
    character that would clear a screen, half a surrogate pair, a turn of the writing direction) is written as Python
    writes it: ``\x1b``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(as_text(message))


# What is longer is a file poured into a terminal; what to do stands at the end.
_LONGEST = 2_000
_ENDING = 500


def as_text(message: str) -> str:
    """Return a message in one line of what can be printed, its middle left out where it is very long.

    What cannot be printed is written as Python writes it.
    """
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - _ENDING]} … {message[-_ENDING:]}"
    if message.isprintable():
        return message
    return "".join(
        sign if sign.isprintable() else " " if sign == "\n" else sign.encode("unicode_escape").decode("ascii")
        for sign in message
    )


def shortened_text(text: str, longest: int) -> str:
    """Return a text cut to this many characters, with an ellipsis where something was cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def quoted(text: str) -> str:
    """Return what was typed as Python writes it, cut to what fits in a sentence."""
    return shortened_text(repr(text), 100)
