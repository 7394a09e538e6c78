"""The options of every command that compares: ``--fail-on``, ``--tolerance`` and ``--alpha``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from pytest_sst2.config.declared import CHANGED_OPTION, changes
from pytest_sst2.config.option_parsers import current_words, names, points, probability, several_of
from pytest_sst2.config.options import ALPHA, FAIL_ON, FAIL_ON_DEFAULT, RENAMED_FAIL_ON, TOLERANCE

PAIR_OPTION = "--pair"


def add_pair_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--pair``, which is ``--sst2-against`` for a saved run."""
    text = "compare cells of one run: all others with NAME, or B with A (models, methods or cells)"
    parser.add_argument(PAIR_OPTION, dest="pairs", type=names, default=(), metavar="A=B|NAME,...", help=text)


def add_comparison_options(parser: argparse.ArgumentParser, *, prefixed: bool = False) -> None:
    """Add the options; with ``prefixed`` also under their names as options of pytest, such as ``--sst2-alpha``."""

    def add(name: str, parse: Callable[[str], Any], default: object, metavar: str, text: str) -> None:
        flags = [f"--{name}", f"--sst2-{name}"] if prefixed else [f"--{name}"]
        parser.add_argument(*flags, type=parse, default=default, metavar=metavar, help=text)

    text = f"what fails a comparison: {', '.join(FAIL_ON)}, or none (default: {FAIL_ON_DEFAULT})"
    add("fail-on", _fail_on, FAIL_ON_DEFAULT, "A,B", text)
    text = f"accuracy that may be lost, in percentage points (default: {100 * TOLERANCE:g})"
    add("tolerance", points, TOLERANCE, "X", text)
    text = f"one-sided significance level, corrected for the number of cells (default: {ALPHA:g})"
    add("alpha", probability, ALPHA, "X", text)


def add_changed_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--changed``, also under its name as an option of pytest."""
    text = "what changed on purpose: model, recipe, or OLD=NEW names"
    parser.add_argument("--changed", CHANGED_OPTION, type=changes, default=(), metavar="A,B", help=text)


def _fail_on(text: str) -> tuple[str, ...]:
    """Parse ``--fail-on``; a renamed word is replaced, with a warning on stderr."""

    def warn(message: str) -> None:
        print(f"pytest-sst2: warning: --fail-on: {message}", file=sys.stderr)

    return current_words(several_of(FAIL_ON, RENAMED_FAIL_ON)(text), RENAMED_FAIL_ON, warn)
