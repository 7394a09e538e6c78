"""Sst2Error: the error whose message is printed without a traceback."""

from __future__ import annotations

from pytest_sst2.utils.redact import redacted
from pytest_sst2.utils.sanitize import one_line

# A longer message quotes a whole file. Its end is kept because it says what to do next.
_MOST_CHARACTERS = 2_000
_CHARACTERS_OF_END = 500


class Sst2Error(Exception):
    """An error that the user can correct.

    The message says what failed, the value, what is allowed and what to do next. It is printed alone, without a
    traceback. Because it may quote a file or an answer from the network, secrets and control characters are removed
    here, once for all errors.
    """

    def __init__(self, message: str) -> None:
        # Redact before truncating: a part of a secret would not be recognised.
        whole = redacted(message)
        if len(whole) > _MOST_CHARACTERS:
            whole = f"{whole[: _MOST_CHARACTERS - _CHARACTERS_OF_END]} … {whole[-_CHARACTERS_OF_END:]}"
        super().__init__(one_line(whole))
