"""The one error a person at the terminal is meant to read."""

from __future__ import annotations


class Sst2Error(Exception):
    """A sentence for the person at the terminal.

    The message says what went wrong, what was given, what is allowed and what to do next.
    It is shown as it stands, without a traceback, so it must make sense alone.
    """
