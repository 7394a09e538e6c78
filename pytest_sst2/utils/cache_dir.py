"""The folder in which pytest-sst2 caches files between runs."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error


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
