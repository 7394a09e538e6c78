"""``pytest-sst2 cache``: show the cache of embeddings and converted models, or empty it."""

from __future__ import annotations

import argparse

from pytest_sst2.cli.output import add_format_option
from pytest_sst2.utils.sanitize import json_text

HELP = "show where embeddings and converted models are cached and how much space they take"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("--clear", action="store_true", help="remove all entries")
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the folder and the size of the cache; with ``--clear``, empty it.

    Raises:
        Sst2Error: There is no folder for a cache.
    """
    from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
    from pytest_sst2.utils.cache_dir import cache_folder, model_entries, remove_model_entries

    folder = cache_folder()
    cache = EmbeddingCache(folder, 0)
    size = cache.size_bytes() + sum(size for _, size, _ in model_entries(folder))
    removed = cache.clear() + remove_model_entries(folder) if options.clear else None
    if options.format == "json":
        return json_text({"folder": str(cache.folder), "bytes": size, "removed_entries": removed}), 0
    if removed is None:
        return f"{cache.folder}: {size / 2**20:.1f} MB. Remove with: pytest-sst2 cache --clear", 0
    return f"{cache.folder}: {removed} {'entry' if removed == 1 else 'entries'} removed, {size / 2**20:.1f} MB", 0
