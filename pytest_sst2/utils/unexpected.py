"""Errors that pytest-sst2 does not expect: one sentence for the terminal, and a file with the traceback."""

from __future__ import annotations

import os
import tempfile
import traceback

from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.sanitize import one_line, printable

# The exit status, as pytest's own for an internal error.
UNEXPECTED = 3


def unexpected(what: str, error: BaseException) -> str:
    """Return the sentence about an error, and write its traceback to a new file that the sentence names.

    Args:
        what: What failed, such as ``the comparison``.
        error: The error. Nothing is raised if the file cannot be written.
    """
    place = _traceback_file(error)
    request = "; please report it with that file" if place else ""
    return f"{what} failed unexpectedly ({_reason(error)}). {_where(place)}{request}."


def failure_of_hook(name: str, error: BaseException) -> str:
    """Return the sentence about an error in a hook of a conftest or plugin, and write its traceback to a new file."""
    return f"the hook {name} failed ({_reason(error)}), and was not called again. {_where(_traceback_file(error))}."


def _reason(error: BaseException) -> str:
    text = truncate(one_line(str(error)), 300)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _where(place: str) -> str:
    return f"Its traceback is in {place}" if place else "Its traceback could not be written to a file"


def _traceback_file(error: BaseException) -> str:
    """Write the traceback to a new file, and return its path; empty if it cannot be written."""
    try:
        lines = printable("".join(traceback.format_exception(error)))
        handle, path = tempfile.mkstemp(prefix="pytest-sst2-traceback-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(lines)
    except Exception:
        return ""
    return path
