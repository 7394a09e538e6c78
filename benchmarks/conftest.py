"""Collect nothing here without the plugin (``-p no:sst2``)."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore this folder if the plugin is disabled."""
    here = Path(__file__).parent
    is_disabled = not config.pluginmanager.hasplugin("sst2-timer")
    return True if is_disabled and here in (collection_path, *collection_path.parents) else None
