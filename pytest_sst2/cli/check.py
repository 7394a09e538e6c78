"""``pytest-sst2 check``: compare a model with its lock."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_sst2.cli.lock import add_loading_arguments
from pytest_sst2.cli.output import add_format_option, join_lines
from pytest_sst2.utils.sanitize import json_text

HELP = "compare a model with its lock; exit status 0: the same, 1: it differs, 2: it cannot be loaded"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("lock", type=Path, metavar="LOCK", help="file that `pytest-sst2 lock` wrote")
    parser.add_argument("--model", metavar="MODEL", help="model to compare with the lock (default: the locked one)")
    add_format_option(parser)
    add_loading_arguments(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the differences, and the exit status.

    Raises:
        Sst2Error: The lock cannot be read, or the model cannot be loaded.
    """
    from pytest_sst2.model_lock.check import check_file

    how = {"device": options.device, "trust_remote_code": options.trust_remote_code}
    result = check_file(options.lock, model=options.model or "", **how)
    text = json_text(result.to_json()) if options.format == "json" else join_lines(result.lines())
    return text, 0 if result.is_same else 1
