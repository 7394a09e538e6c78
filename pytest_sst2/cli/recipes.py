"""``pytest-sst2 recipes``: list the presets of ``--sst2-recipe``."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from pytest_sst2.cli.output import add_format_option, table
from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.utils.sanitize import json_text

HELP = "list the presets of --sst2-recipe"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the table of presets."""
    if options.format == "json":
        return json_text([asdict(recipe) for recipe in PRESETS.values()]), 0
    rows = []
    for name, recipe in PRESETS.items():
        train = f"{recipe.train_size:,}" if recipe.train_size else "all"
        fine_tuning = (recipe.epochs, recipe.batch_size, f"{recipe.learning_rate:g}", recipe.max_length)
        rows.append((name, train, recipe.evaluation, ",".join(map(str, recipe.seeds)), *fine_tuning))
    headers = ("recipe", "train", "evaluated on", "seeds", "epochs", "batch", "learning rate", "max tokens")
    return table(rows, headers), 0
