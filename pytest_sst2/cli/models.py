"""``pytest-sst2 models``: list the encoders that have a short name."""

from __future__ import annotations

import argparse

from pytest_sst2.cli.output import add_format_option, table
from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.config.variants import VARIANTS
from pytest_sst2.utils.sanitize import json_text

HELP = "list the models that have a short name"


_FIELDS = ("name", "hub_id", "parameters_millions", "licence", "revision", "notes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the table of encoders."""
    if options.format == "json":
        return json_text([{name: getattr(spec, name) for name in _FIELDS} for spec in CATALOG]), 0
    rows = []
    for spec in CATALOG:
        size, revision = f"{spec.parameters_millions:.1f}", (spec.revision or "main")[:12]
        rows.append((spec.name, spec.hub_id, size, spec.licence, revision, spec.notes))
    models = table(rows, ("model", "Hub id", "M parameters", "licence", "revision", "notes"))
    variants = table([(f":{variant.name}", variant.notes) for variant in VARIANTS.values()], ("variant", "notes"))
    return f"{models}\n\nVariants of any model that is not trained, such as minilm:bf16:\n\n{variants}", 0
