"""Without the plugin (``-p no:sst2``) there is nothing to run here, and no reason to fail either."""

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect nothing below this folder when the plugin is switched off."""
    here = Path(__file__).parent
    switched_off = not config.pluginmanager.hasplugin("sst2-timer")
    return True if switched_off and here in (collection_path, *collection_path.parents) else None
