"""Values of a run that are kept in ``config.stash``, each created on first use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_sst2.config import options
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.compare.seed_schedule import SeedSchedule
    from pytest_sst2.config.matrix import Matrix
    from pytest_sst2.config.settings import Settings
    from pytest_sst2.config.specs import ModelSpec
    from pytest_sst2.runner.context import RunContext
    from pytest_sst2.runner.sharding import Division
    from pytest_sst2.session.inputs import Inputs

# How the cells were divided among shards; missing in a run of all cells.
DIVISION: pytest.StashKey[Division] = pytest.StashKey()
_CONFIGURATION: pytest.StashKey[tuple[Settings, Matrix]] = pytest.StashKey()
_INPUTS: pytest.StashKey[Inputs] = pytest.StashKey()
_SCHEDULE: pytest.StashKey[SeedSchedule | None] = pytest.StashKey()
_CONTEXT: pytest.StashKey[RunContext] = pytest.StashKey()


def is_configured(config: pytest.Config) -> bool:
    """Return whether an option is set, or a conftest or plugin implements a hook of this plugin."""
    if any(options.is_set(config, option) for option in options.OPTIONS):
        return True
    hooks = (config.hook.pytest_sst2_models, config.hook.pytest_sst2_methods)
    return any(hook.get_hookimpls() for hook in hooks)


def settings_of(config: pytest.Config) -> Settings:
    """Return the settings of the run; raises ``pytest.UsageError`` if a value is invalid."""
    return _configuration(config)[0]


def matrix_of(config: pytest.Config) -> Matrix:
    """Return the models, methods and seeds of the run; raises as ``settings_of``."""
    return _configuration(config)[1]


def _configuration(config: pytest.Config) -> tuple[Settings, Matrix]:
    if _CONFIGURATION not in config.stash:
        from pytest_sst2.config.catalog import CATALOG, METHODS
        from pytest_sst2.config.matrix import find_against, read_matrix
        from pytest_sst2.config.read_settings import read_settings
        from pytest_sst2.config.registry import Registry
        from pytest_sst2.session.auto_seeds import with_seeds_of_baseline

        try:
            settings = with_seeds_of_baseline(read_settings(config))
            models = [spec for specs in config.hook.pytest_sst2_models() for spec in specs]
            methods = [spec for specs in config.hook.pytest_sst2_methods() for spec in specs]
            registry = Registry([*CATALOG, *models], [*METHODS, *methods], added=[spec.name for spec in methods])
            matrix = read_matrix(settings, registry)
            if settings.against:
                typed = getattr(config.option, "sst2_against", None) is not None
                settings = replace(settings, against=find_against(settings, matrix, strict=typed))
            config.stash[_CONFIGURATION] = settings, matrix
        except Sst2Error as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_CONFIGURATION]


def inputs_of(config: pytest.Config) -> Inputs:
    """Return the inputs of the run.

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


def schedule_of(config: pytest.Config) -> SeedSchedule | None:
    """Return the schedule of the run's seeds, None if all are needed; raises ``pytest.UsageError`` as ``inputs_of``."""
    if _SCHEDULE not in config.stash:
        from pytest_sst2.session.auto_seeds import schedule_for

        settings, matrix = _configuration(config)
        try:
            config.stash[_SCHEDULE] = schedule_for(settings, inputs_of(config), matrix)
        except Sst2Error as error:
            raise pytest.UsageError(str(error)) from error
    return config.stash[_SCHEDULE]


def context_of(config: pytest.Config) -> RunContext:
    """Return the run context; the first call imports numpy, torch and the other heavy libraries."""
    if _CONTEXT not in config.stash:
        from pytest_sst2.runner.context import RunContext

        inputs = inputs_of(config)
        config.stash[_CONTEXT] = RunContext(
            settings_of(config),
            floors=inputs.floors,
            baseline=inputs.baseline,
            unfinished=inputs.unfinished,
            schedule=schedule_of(config),
        )
    return config.stash[_CONTEXT]


def model_of(config: pytest.Config, name: str) -> ModelSpec:
    """Return the model called ``name``, looked up as ``--models`` does; raises as ``Registry.model``."""
    return matrix_of(config).registry.model(name, base=config.invocation_params.dir)
