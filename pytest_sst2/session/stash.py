"""What a run of pytest keeps in ``config.stash``: settings, matrix, inputs and run context, each made on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_sst2.config import options
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.matrix import Matrix
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import ModelSpec
    from pytest_sst2.runner.context import RunContext
    from pytest_sst2.session.inputs import Inputs

_SETTINGS = pytest.StashKey["tuple[Settings, Matrix]"]()
_INPUTS = pytest.StashKey["Inputs"]()
_WORKBENCH = pytest.StashKey["RunContext"]()


def is_anything_set(config: pytest.Config) -> bool:
    """Tell whether an option, an ini file or a conftest says anything to us; if not, nothing can be wrong with it."""
    if any(options.is_set(config, option) for option in options.OPTIONS):
        return True
    hooks = (config.hook.pytest_sst2_models, config.hook.pytest_sst2_methods)
    return any(hook.get_hookimpls() for hook in hooks)


def settings_of(config: pytest.Config) -> Settings:
    """Return the settings of the run.

    Raises:
        pytest.UsageError: A value is invalid.
    """
    return _configured(config)[0]


def matrix_of(config: pytest.Config) -> Matrix:
    """Return the models, methods and seeds of the run; raises as ``settings_of``."""
    return _configured(config)[1]


def _configured(config: pytest.Config) -> tuple[Settings, Matrix]:
    if _SETTINGS not in config.stash:
        from pytest_sst2.config.catalog import CATALOG, METHODS
        from pytest_sst2.config.matrix import read_matrix
        from pytest_sst2.config.registry import Registry
        from pytest_sst2.config.settings import read_settings

        try:
            settings = read_settings(config)
            models = [spec for specs in config.hook.pytest_sst2_models() for spec in specs]
            methods = [spec for specs in config.hook.pytest_sst2_methods() for spec in specs]
            registry = Registry([*CATALOG, *models], [*METHODS, *methods], added=[spec.name for spec in methods])
            config.stash[_SETTINGS] = settings, read_matrix(settings, registry)
        except Sst2Error as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_SETTINGS]


def inputs_of(config: pytest.Config) -> Inputs:
    """Return the files that the run has loaded.

    Raises:
        pytest.UsageError: A file is missing or invalid, or an output would replace something that must stay.
    """
    if _INPUTS not in config.stash:
        from pytest_sst2.session.inputs import load_inputs

        try:
            config.stash[_INPUTS] = load_inputs(settings_of(config), is_worker=hasattr(config, "workerinput"))
        except Sst2Error as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_INPUTS]


def workbench_of(config: pytest.Config) -> RunContext:
    """Return the run context; the first caller pays for the imports."""
    if _WORKBENCH not in config.stash:
        from pytest_sst2.runner.context import RunContext

        inputs = inputs_of(config)
        config.stash[_WORKBENCH] = RunContext(
            settings_of(config), floors=inputs.floors, baseline=inputs.baseline, unfinished=inputs.unfinished
        )
    return config.stash[_WORKBENCH]


def model_of(config: pytest.Config, name: str) -> ModelSpec:
    """Return the model called ``name``, looked up as ``--models`` does; raises as that does."""
    return matrix_of(config).registry.model(name, base=config.invocation_params.dir)
