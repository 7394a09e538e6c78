"""JSON that somebody else may have written: its value, or a sentence that says why it has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.safe_read import LARGEST_BYTES, text_of


def read_json(path: Path, largest: int = LARGEST_BYTES) -> Any:
    """Return the value of a JSON file.

    Args:
        path: The file.
        largest: The most bytes it may have.

    Raises:
        Sst2Error: It cannot be read, or is not JSON.
    """
    try:
        return json_of(text_of(path, largest))
    except NotJsonError as error:
        raise Sst2Error(f"{path} is not readable JSON: {error.placed}.") from error


class NotJsonError(ValueError):
    """Text that is no JSON: why, and in which line and column where that is known."""

    def __init__(self, reason: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(reason)
        self.line, self.column = line, column

    @property
    def placed(self) -> str:
        """The reason and the place, as far as it is known."""
        return f"{self} in line {self.line:,}, column {self.column:,}" if self.line else str(self)


def json_of(text: str) -> Any:
    """Return the value of a JSON text, in which no object has one key twice.

    Raises:
        NotJsonError: It is not JSON, is nested too deeply, has a number of more than 4,300 digits, or a key twice.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct)
    except json.JSONDecodeError as error:
        raise NotJsonError(error.msg, error.lineno, error.colno) from error
    except RecursionError as error:
        raise NotJsonError("it is nested too deeply") from error
    except ValueError as error:
        raise NotJsonError(str(error)) from error


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJsonError(f"{truncate(repr(twice), 60)} occurs twice in one object")
    return found
