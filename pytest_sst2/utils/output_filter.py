"""Library output: what libraries print while ``-v`` lets them, on its way to the terminal, or to the logs of a cluster.

A library may print what stands in a model's files. Colours, and what draws a progress bar anew, pass; all else that a
terminal would obey does not, nor do secrets.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from typing import Any

from pytest_sst2.utils.sanitize import printable

# Colours, back to the start of the line, a line up, the rest of the line wiped.
_PASSING = re.compile("(\x1b\\[[0-9;]*m|\r|\x1b\\[[AK])")


@contextlib.contextmanager
def cleaned() -> Iterator[None]:
    """Clean, for the length of the body, what is written to standard output and standard error."""
    with contextlib.redirect_stdout(_Cleaning(sys.stdout)), contextlib.redirect_stderr(_Cleaning(sys.stderr)):
        yield


class _Cleaning:
    """A stream before another; whatever else is asked of it, the other answers."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, cleaned, and return how long it was."""
        # Every other part is one that passes.
        parts = _PASSING.split(text)
        self._stream.write("".join(part if index % 2 else printable(part) for index, part in enumerate(parts)))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write texts, likewise."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
