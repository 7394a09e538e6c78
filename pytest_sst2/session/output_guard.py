"""Keep a run going when its output goes away: a closed pipe or terminal, or a full disk under the log.

pytest would end with an internal error at the next line it prints, and the cells measured so far would be lost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any, TextIO

import pytest

# The disk may have room again later. After any other error the reader is gone.
_MAY_RECOVER = (errno.ENOSPC, errno.EDQUOT, errno.EAGAIN)


def guard_output(config: pytest.Config) -> None:
    """Let pytest's terminal writer drop what cannot be written; call it in a run with cells."""
    writer = config.get_terminal_writer() if config.pluginmanager.hasplugin("terminalreporter") else None
    stream = getattr(writer, "_file", None)
    if writer is None or stream is None or isinstance(stream, _Guarded):
        return
    guarded = writer._file = _Guarded(stream)
    config.add_cleanup(guarded.close_quietly)


def move_to_stderr(config: pytest.Config) -> TextIO:
    """Let pytest print to stderr, and return the stream it printed to."""
    writer = config.get_terminal_writer()
    stdout: TextIO = writer._file
    writer._file = sys.stderr
    writer.hasmarkup = writer.hasmarkup and sys.stderr.isatty()
    return stdout


def print_quietly(stream: TextIO, text: str) -> None:
    """Write a text and flush it; if the stream is gone, drop it."""
    guarded = _Guarded(stream)
    guarded.write(text)
    guarded.flush()


class _Guarded:
    """A text stream whose write errors are dropped; everything else is that of the stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._has_failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it; return its length."""
        try:
            self._stream.write(text)
        except UnicodeError:  # pytest writes it again in ASCII
            raise
        except (OSError, ValueError) as error:
            self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream, unless it is gone."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._drop(error)

    def close_quietly(self) -> None:
        """Flush for the last time: what is left in the buffer would fail the interpreter when it exits."""
        self.flush()
        if self._has_failed:
            self._discard()

    def _drop(self, error: OSError | ValueError) -> None:
        self._has_failed = True
        if getattr(error, "errno", None) not in _MAY_RECOVER:
            self._discard()

    def _discard(self) -> None:
        """Write everything from now on to nowhere."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            # What the buffer still holds goes there too: pytest's capturing puts the old descriptor back later.
            self._stream.flush()
