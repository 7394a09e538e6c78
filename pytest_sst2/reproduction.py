"""Reproduction: the commands that measure some records again, and the versions they were measured with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pytest_sst2.recipes import PRESETS, Recipe
from pytest_sst2.records import Record

# What decides an accuracy; the rest of what was installed is in the records.
_PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "scikit-learn",
    "tokenizers",
    "numpy",
    "datasets",
    "pytest-sst2",
)


def run_commands(records: Sequence[Record]) -> list[str]:
    """Return the commands that measure these cells again, one for each data set, recipe, device and number of rounds.

    They name what decides the numbers, not how the run was started. A data set that was read from a folder is named by
    a placeholder, since a record does not keep where it lay.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(_shared_flags(record)), []).append(record)
    return [shlex.join(["pytest", "benchmarks", *_cell_flags(group), *flags]) for flags, group in groups.items()]


def install_command(record: Record) -> str:
    """Return the command that installs the versions a record was measured with, builds for one device left aside."""
    packages = record.environment.packages
    wanted = [f"{name}=={packages[name].split('+')[0]}" for name in _PACKAGES if name in packages]
    return shlex.join(["python", "-m", "pip", "install", *wanted])


def _cell_flags(records: Sequence[Record]) -> list[str]:
    models = dict.fromkeys(record.model for record in records if record.model)
    methods = dict.fromkeys(record.method for record in records)
    seeds = dict.fromkeys(str(record.seed) for record in records)
    flags = [f"--models={','.join(models)}"] if models else []
    return [*flags, f"--methods={','.join(methods)}", f"--sst2-seeds={','.join(seeds)}"]


def _shared_flags(record: Record) -> list[str]:
    flags = [f"--sst2-data={_data(record)}", *_recipe_flags(record.recipe)]
    if record.environment.device != "cpu":
        flags.append(f"--sst2-device={record.environment.device}")
    if len(record.rounds) > 1:
        flags.append(f"--sst2-rounds={len(record.rounds)}")
    return flags


def _data(record: Record) -> str:
    return f"FOLDER-OF-{record.dataset.name}" if record.dataset.source == "folder" else record.dataset.source


def _recipe_flags(recipe: Recipe) -> list[str]:
    flags = [f"--sst2-recipe={recipe.name}"]
    preset = PRESETS.get(recipe.name)
    if preset is None or recipe.evaluation != preset.evaluation:
        flags.append(f"--sst2-eval={recipe.evaluation}")
    for name in ("train_size", "eval_size", "epochs", "batch_size", "learning_rate", "max_length", "dtype"):
        value = getattr(recipe, name)
        if value is not None and (preset is None or value != getattr(preset, name)):
            flags.append(f"--sst2-{name.replace('_', '-')}={value}")
    return flags
