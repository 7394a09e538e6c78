"""``pytest-sst2 methods``: list the built-in methods."""

from __future__ import annotations

import argparse

from pytest_sst2.cli.output import table
from pytest_sst2.config.catalog import METHODS

HELP = "list the built-in ways to make a classifier"


def run(_options: argparse.Namespace) -> tuple[str, int]:
    """Return the table of methods."""
    rows = [(spec.name, "yes" if spec.needs_model else "no", spec.notes) for spec in METHODS]
    return table(rows, ("method", "needs a model", "how the classifier is made")), 0
