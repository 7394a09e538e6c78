"""Paths as typed by the user: relative, in a home folder, or in the notation of Windows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted


def slashes_hint(text: str) -> str:
    """Return a hint to append to an error about a Windows path on another system; empty for any other path."""
    if os.name == "nt" or ("\\" not in text and not re.match(r"[A-Za-z]:/", text)):
        return ""
    plain = re.sub(r"^[A-Za-z]:", "", text.replace("\\", "/"))
    return f" This looks like a Windows path; this system has no drives and writes it with slashes: {plain!r}."


def path_given(base: Path, text: str, option: str) -> Path:
    """Return the path that was typed; a relative one starts from ``base``.

    Raises:
        Sst2Error: The path is invalid, is written for another system, or is in the home folder of an unknown user.
    """
    try:
        path = base / Path(text).expanduser()
        is_there = path.exists()
    except RuntimeError as error:
        raise Sst2Error(
            f"{option} {quoted(text)} is in a home folder that this system does not know ({error}). Write the whole "
            "path."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise Sst2Error(f"{option} {quoted(text)} is not a valid path: {reason}.") from error
    if "\0" in text:
        raise Sst2Error(f"{option} {quoted(text)} is not a valid path: it has a NUL character.")
    if (hint := slashes_hint(text)) and not is_there:
        raise Sst2Error(f"{option} {quoted(text)} would be a single file of that name in {str(base)!r}.{hint}")
    return path


def folder_at(base: Path, text: str, *, or_file: bool = False) -> Path | None:
    """Return the existing folder, or file, that a text names; None if there is none or the text is no valid path."""
    try:
        path = (base / Path(text).expanduser()).resolve()
        return path if path.is_dir() or (or_file and path.is_file()) else None
    except (OSError, RuntimeError, ValueError):
        return None


def real_path(path: Path) -> Path:
    """Return the absolute path with its links followed; a link to itself stays, where ``Path.resolve`` raises."""
    return Path(os.path.realpath(path))
