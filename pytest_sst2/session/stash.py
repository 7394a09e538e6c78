"""What belongs to one run of pytest and is kept in its config: settings and workbench, each made when first wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_sst2.config import options
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.specs import ModelSpec
    from pytest_sst2.runner.context import RunContext
    from pytest_sst2.session.settings import Settings

_SETTINGS = pytest.StashKey["Settings"]()
_WORKBENCH = pytest.StashKey["RunContext"]()


def is_anything_set(config: pytest.Config) -> bool:
    """Tell whether an option, an ini file or a conftest says anything to us; if not, nothing can be wrong with it."""
    if any(options.is_set(config, option) for option in options.OPTIONS):
        return True
    hooks = (config.hook.pytest_sst2_models, config.hook.pytest_sst2_methods)
    return any(hook.get_hookimpls() for hook in hooks)


def has_settings(config: pytest.Config) -> bool:
    """Tell whether the settings were read, which in a run without a benchmark they may never be."""
    return _SETTINGS in config.stash


def settings_of(config: pytest.Config) -> Settings:
    """Return the run's settings; they are read when first wanted, which in most runs is never.

    Raises:
        pytest.UsageError: Something in them is wrong.
    """
    if _SETTINGS not in config.stash:
        from pytest_sst2.config.catalog import CATALOG, METHODS
        from pytest_sst2.config.registry import Registry
        from pytest_sst2.session.settings import read_settings

        try:
            models = [spec for found in config.hook.pytest_sst2_models() for spec in found]
            methods = [spec for found in config.hook.pytest_sst2_methods() for spec in found]
            registry = Registry([*CATALOG, *models], [*METHODS, *methods], added=[spec.name for spec in methods])
            config.stash[_SETTINGS] = read_settings(config, registry)
        except Sst2Error as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_SETTINGS]


def read_results_again(config: pytest.Config) -> None:
    """Read again what stands in the results file to resume.

    Raises:
        Sst2Error: It is no results file any more.
    """
    from pytest_sst2.session.settings import read_again

    config.stash[_SETTINGS] = read_again(settings_of(config))


def workbench_of(config: pytest.Config) -> RunContext:
    """Return the run's workbench; the first caller pays for the imports."""
    if _WORKBENCH not in config.stash:
        from pytest_sst2.runner.context import RunContext

        config.stash[_WORKBENCH] = RunContext(settings_of(config))
    return config.stash[_WORKBENCH]


def model_of(config: pytest.Config, name: str) -> ModelSpec:
    """Return the model of a name, looked up as ``--models`` would; raises as that does."""
    return settings_of(config).registry.model(name, base=config.invocation_params.dir)
