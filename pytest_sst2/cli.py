"""``pytest-sst2``: what can be asked for, without running anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pytest_sst2 import __version__
from pytest_sst2.catalog import CATALOG
from pytest_sst2.recipes import PRESETS
from pytest_sst2.registry import METHODS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="pytest-sst2",
        description="Models, methods and recipes that `pytest benchmarks` can be asked for.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-sst2 {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, _) in _COMMANDS.items():
        commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
    _, table = _COMMANDS[parser.parse_args(arguments).command]
    try:
        print(table())
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
    return 0


def models_table() -> str:
    """Return the encoders with a short name, a row each."""
    rows = [
        (
            spec.name,
            spec.hub_id,
            f"{spec.parameters_millions:.1f}",
            spec.licence,
            (spec.revision or "main")[:12],
            spec.notes,
        )
        for spec in CATALOG
    ]
    return _table(rows, ("model", "Hub id", "M parameters", "licence", "revision", "notes"))


def methods_table() -> str:
    """Return the built-in methods, a row each."""
    rows = [(spec.name, "yes" if spec.needs_model else "no", spec.notes) for spec in METHODS]
    return _table(rows, ("method", "needs a model", "how the classifier is made"))


def recipes_table() -> str:
    """Return the presets, a row each."""
    rows = [
        (
            name,
            "all" if recipe.train_size is None else f"{recipe.train_size:,}",
            recipe.evaluation,
            ",".join(map(str, recipe.seeds)),
            recipe.epochs,
            recipe.batch_size,
            f"{recipe.learning_rate:g}",
            recipe.max_length,
        )
        for name, recipe in PRESETS.items()
    ]
    headers = ("recipe", "train", "evaluated on", "seeds", "epochs", "batch", "learning rate", "max tokens")
    return _table(rows, headers)


_COMMANDS = {
    "models": ("list the encoders that have a short name", models_table),
    "methods": ("list the built-in ways to make a classifier", methods_table),
    "recipes": ("list the presets of --sst2-recipe", recipes_table),
}


def _table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    from tabulate import tabulate

    text: str = tabulate(rows, headers=headers, tablefmt="simple", disable_numparse=True)
    return text


if __name__ == "__main__":
    sys.exit(main())
