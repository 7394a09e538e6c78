"""Paths as they are typed: from which folder, in whose home, of which system."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted


def slashes_hint(text: str) -> str:
    """Return what to say of a path as Windows writes it where this is not Windows; empty for any other."""
    if os.name == "nt" or ("\\" not in text and not re.match(r"[A-Za-z]:/", text)):
        return ""
    plain = re.sub(r"^[A-Za-z]:", "", text.replace("\\", "/"))
    return f" This looks like a path of Windows; this system has no drives and writes it with slashes, {plain!r} say."


def path_given(base: Path, text: str, option: str) -> Path:
    """Return the path that was typed, from ``base`` where it is relative.

    Raises:
        Sst2Error: No file can be called so, it is a path of another system, or it is in the home folder of nobody.
    """
    try:
        path = base / Path(text).expanduser()
        is_there = path.exists()
    except RuntimeError as error:
        raise Sst2Error(
            f"{option} {quoted(text)} is in a home folder, and this system knows of none ({error}). Write the whole "
            "path."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise Sst2Error(f"{option} {quoted(text)} is no path here: {reason}.") from error
    if "\0" in text:
        raise Sst2Error(f"{option} {quoted(text)} is no path here: it holds a NUL character.")
    if (hint := slashes_hint(text)) and not is_there:
        raise Sst2Error(f"{option} {quoted(text)} would be one file of that name in {str(base)!r}.{hint}")
    return path


def folder_at(base: Path, text: str) -> Path | None:
    """Return the folder that ``text`` names, or None where there is none or it cannot be a path at all."""
    try:
        folder = (base / Path(text).expanduser()).resolve()
        return folder if folder.is_dir() else None
    except (OSError, RuntimeError, ValueError):
        return None
