"""The one error a person at the terminal is meant to read."""

from __future__ import annotations

from pytest_sst2.outgoing import one_line


class Sst2Error(Exception):
    """A sentence for the person at the terminal.

    The message says what went wrong, what was given, what is allowed and what to do next.
    It is shown as it stands, without a traceback, so it must make sense alone. It may quote what somebody else wrote,
    in a file or an answer from a network: secrets and control characters are taken out here, once for all errors.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))
