"""The one error a person at the terminal is meant to read."""

from __future__ import annotations

from pytest_sst2.utils.redact import redacted
from pytest_sst2.utils.sanitize import one_line

# What is longer is a file poured into a terminal; what to do stands at the end.
_LONGEST = 2_000
_ENDING = 500


class Sst2Error(Exception):
    """A sentence for the person at the terminal.

    The message says what went wrong, what was given, what is allowed and what to do next.
    It is shown as it stands, without a traceback, so it must make sense alone. It may quote what somebody else wrote,
    in a file or an answer from a network: secrets and control characters are taken out here, once for all errors.
    """

    def __init__(self, message: str) -> None:
        # Before anything is cut: half a secret would not be known for one.
        whole = redacted(message)
        if len(whole) > _LONGEST:
            whole = f"{whole[: _LONGEST - _ENDING]} … {whole[-_ENDING:]}"
        super().__init__(one_line(whole))
