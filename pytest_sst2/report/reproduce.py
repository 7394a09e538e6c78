"""Reproduction: the commands that measure some records again, and the versions they were measured with."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pytest_sst2.config.recipes import PRESETS, Recipe
from pytest_sst2.results.record import Record

_OURS = "pytest-sst2"
# What decides an accuracy; the rest of what was installed is in the records.
_PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "scikit-learn",
    "tokenizers",
    "numpy",
    "datasets",
    _OURS,
)


# The tests that come along, which stand for those that are not known.
_TESTS = ("benchmarks",)
TESTS_UNKNOWN = "# benchmarks stands for the tests that measured these cells: a results file does not name them"


def run_commands(records: Sequence[Record], tests: Sequence[str] | None = None) -> list[str]:
    """Return the commands that measure these cells again and no others.

    There is one for each data set, recipe, device, number of rounds, for each setting of the variables that change
    threads or precision, and for methods that were not run with the same models and seeds. They name what decides the
    numbers, not how else it was run. Data and models that were read from a folder are named by a placeholder, since a
    record does not keep where they lay.

    Args:
        records: Those to measure again.
        tests: What pytest was given to collect, as it was typed; None where that is not known.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault((_variables(record), *_shared_flags(record)), []).append(record)
    named = _TESTS if tests is None else tests
    return [
        _variables(group[0]) + shlex.join(["pytest", *named, *cells, *_shared_flags(group[0])])
        for group in groups.values()
        for cells in _cell_flags(group)
    ]


def install_command(records: Sequence[Record]) -> str:
    """Return the command that installs the versions records were measured with, builds for one device left aside.

    Args:
        records: At least one; the versions are those of the first.
    """
    packages = records[0].environment.packages
    wanted = {name: f"{name}=={packages[name].split('+')[0]}" for name in _PACKAGES if name in packages}
    if any(record.weights is not None and record.weights.source == "bundled" for record in records):
        ours = wanted.get(_OURS, _OURS)
        wanted[_OURS] = ours.replace(_OURS, f"{_OURS}[bundled]")
    return shlex.join(["python", "-m", "pip", "install", *wanted.values()])


def _variables(record: Record) -> str:
    """Return what is set for a command before it, with a space behind it; empty where nothing was."""
    return "".join(f"{name}={shlex.quote(value)} " for name, value in sorted(record.environment.variables.items()))


def _cell_flags(records: Sequence[Record]) -> list[list[str]]:
    """Return the flags of as few matrices as hold these cells and no others.

    Methods without a model take any: they go with the first matrix of the same seeds.
    """
    # Of each seed of a method, its models; methods and seeds that agree in these are one matrix.
    models: dict[tuple[str, int], dict[str, None]] = {}
    for record in records:
        named = models.setdefault((record.method, record.seed), {})
        if record.model:
            named[_model(record)] = None
    seeds: dict[tuple[str, frozenset[str]], list[int]] = {}
    for (method, seed), named in models.items():
        seeds.setdefault((method, frozenset(named)), []).append(seed)
    matrices: dict[tuple[frozenset[str], tuple[int, ...]], list[str]] = {}
    for (method, wanted), of_method in sorted(seeds.items(), key=lambda each: not each[0][1]):
        same_seeds = (key for key in matrices if key[1] == tuple(of_method))
        key = (wanted, tuple(of_method)) if wanted else next(same_seeds, (wanted, tuple(of_method)))
        matrices.setdefault(key, []).append(method)
    order = list(dict.fromkeys(_model(record) for record in records if record.model))
    return [
        [
            *([f"--models={','.join(model for model in order if model in wanted)}"] if wanted else []),
            f"--methods={','.join(methods)}",
            f"--sst2-seeds={','.join(map(str, of_methods))}",
        ]
        for (wanted, of_methods), methods in matrices.items()
    ]


def _model(record: Record) -> str:
    """Return what names a record's model on the command line."""
    is_folder = record.weights is not None and not record.weights.hub_id
    return f"FOLDER-OF-{record.model}" if is_folder else str(record.model)


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
    for name in ("train_size", "eval_size", "epochs", "batch_size", "learning_rate", "probe_max_length", "dtype"):
        value = getattr(recipe, name)
        if value is not None and (preset is None or value != getattr(preset, name)):
            # One option sets the limits of fine-tuning and of the probes.
            flags.append(f"--sst2-{name.removeprefix('probe_').replace('_', '-')}={value}")
    return flags
