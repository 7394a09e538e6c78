"""``pytest-sst2 methods``: list the built-in methods."""

from __future__ import annotations

import argparse

from pytest_sst2.cli.output import add_format_option, table
from pytest_sst2.config.catalog import METHODS
from pytest_sst2.utils.sanitize import json_text

HELP = "list the built-in methods"


_FIELDS = ("name", "needs_model", "frozen", "notes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the table of methods."""
    if options.format == "json":
        return json_text([{name: getattr(spec, name) for name in _FIELDS} for spec in METHODS]), 0
    rows = [(spec.name, "yes" if spec.needs_model else "no", spec.notes) for spec in METHODS]
    return table(rows, ("method", "needs a model", "how the classifier is made")), 0
