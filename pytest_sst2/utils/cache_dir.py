"""The folder in which pytest-sst2 caches files between runs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error

CONVERTED, LOADED = "converted", "loaded"
"""Subfolders: models whose pickles were converted, and markers of unknown models that were loaded without a problem."""

_ENTRY = re.compile("[0-9a-f]{64}")
# An entry that was used today may be in use.
_IN_USE_SECONDS = 86_400.0


def cache_folder() -> Path:
    """Return ``$PYTEST_SST2_CACHE``, or a folder in the user's cache directory.

    Raises:
        Sst2Error: The folder would be in a home folder, and the user has none.
    """
    from platformdirs import user_cache_path

    configured = os.environ.get("PYTEST_SST2_CACHE")
    try:
        # Without a home folder platformdirs returns a path that begins with "~", which must not be created here.
        return (Path(configured) if configured else user_cache_path("pytest-sst2", appauthor=False)).expanduser()
    except RuntimeError as error:
        raise Sst2Error(
            "no folder for the cache is known, because this user has no home folder. Set PYTEST_SST2_CACHE to a folder."
        ) from error


def model_entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Yield last use, size in bytes and path of every entry in the subfolders."""
    for kind in (CONVERTED, LOADED):
        for path in (folder / kind).glob("*"):
            with contextlib.suppress(OSError):
                if _ENTRY.fullmatch(path.name) and not path.is_symlink():
                    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
                    yield path.stat().st_mtime, sum(file.stat().st_size for file in files), path


def remove_model_entries(folder: Path) -> int:
    """Remove every entry of the subfolders and return their number."""
    entries = [path for _, _, path in model_entries(folder)]
    for path in entries:
        _remove(path)
    return len(entries)


def make_room(folder: Path, most_bytes: int) -> None:
    """Remove the least recently used entries until the rest fits; keep those that were used today."""
    entries = sorted(model_entries(folder))
    total = sum(size for _, size, _ in entries)
    for last_use, size, path in entries:
        if total <= most_bytes or time.time() - last_use < _IN_USE_SECONDS:
            break
        total -= size
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # another process removed it first
        shutil.rmtree(path) if path.is_dir() else path.unlink()
