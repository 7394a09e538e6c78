"""``pytest-sst2 models``: list the encoders that have a short name."""

from __future__ import annotations

import argparse

from pytest_sst2.cli.output import table
from pytest_sst2.config.catalog import CATALOG

HELP = "list the encoders that have a short name"


def run(_options: argparse.Namespace) -> tuple[str, int]:
    """Return the table of encoders."""
    rows = []
    for spec in CATALOG:
        size, revision = f"{spec.parameters_millions:.1f}", (spec.revision or "main")[:12]
        rows.append((spec.name, spec.hub_id, size, spec.licence, revision, spec.notes))
    return table(rows, ("model", "Hub id", "M parameters", "licence", "revision", "notes")), 0
