"""``pytest-sst2``: what can be asked for, and how two saved runs compare, without running anything."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pytest_sst2 import __version__, option_types
from pytest_sst2.catalog import CATALOG
from pytest_sst2.errors import Sst2Error
from pytest_sst2.gate import ALPHA, FAIL_ON, FAIL_ON_DEFAULT, TOLERANCE
from pytest_sst2.recipes import PRESETS
from pytest_sst2.registry import METHODS

_FORMATS = ("text", "markdown", "json")
_MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    asked = _parser().parse_args(arguments)
    status = 0
    try:
        if asked.command == "compare":
            text, status = compare_text(asked)
        elif asked.command == "cache":
            text = cache_text(clear=asked.clear)
        else:
            text = _TABLES[asked.command][1]()
        print(text)
    except Sst2Error as error:
        print(f"pytest-sst2: {error}", file=sys.stderr)
        return _MISTAKE
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-sst2",
        description="What `pytest benchmarks` can be asked for, and how two saved runs compare.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-sst2 {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (help_text, _) in _TABLES.items():
        commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
    _add_compare(commands.add_parser("compare", help=_COMPARE, description=_COMPARE.capitalize() + "."))
    cache = commands.add_parser("cache", help=_CACHE, description=_CACHE.capitalize() + ".")
    cache.add_argument("--clear", action="store_true", help="remove every entry")
    return parser


_CACHE = "say where embeddings are kept from run to run, and how much room they take"
_COMPARE = "compare two saved runs; exit status 0: it holds, 1: it fails, 2: they cannot be compared"


def _add_compare(parser: argparse.ArgumentParser) -> None:
    for name in ("before", "after"):
        parser.add_argument(
            name, metavar=name.upper(), help="a baseline's name, or a file of --sst2-json or --sst2-save"
        )
    parser.add_argument(
        "--fail-on",
        type=option_types.several_of(FAIL_ON),
        default=FAIL_ON_DEFAULT,
        metavar="A,B",
        help=f"what fails: {', '.join(FAIL_ON)}, or none (default: {FAIL_ON_DEFAULT})",
    )
    parser.add_argument("--format", choices=_FORMATS, default=_FORMATS[0], help="(default: text)")
    parser.add_argument(
        "--tolerance",
        type=option_types.points,
        default=TOLERANCE,
        metavar="X",
        help=f"percentage points of accuracy that may be lost (default: {100 * TOLERANCE:g})",
    )
    parser.add_argument(
        "--alpha",
        type=option_types.probability,
        default=ALPHA,
        metavar="X",
        help=f"level of significance, after Holm's correction (default: {ALPHA:g})",
    )


def compare_text(asked: argparse.Namespace) -> tuple[str, int]:
    """Return the comparison that was asked for, and its exit status.

    Raises:
        Sst2Error: One of the two cannot be found or read.
    """
    from pytest_sst2.baselines import load_baseline, project_folder

    here = Path.cwd()
    before, after = (load_baseline(project_folder(here), here, name) for name in (asked.before, asked.after))

    from pytest_sst2.comparison import compare
    from pytest_sst2.report import comparison as report

    found = compare(before, after, tolerance=asked.tolerance, alpha=asked.alpha)
    status = found.exit_status(asked.fail_on)
    if asked.format == "text":
        return "\n".join(report.comparison_lines(found, asked.fail_on)), status
    render = report.comparison_markdown if asked.format == "markdown" else report.comparison_json
    return render(found, asked.fail_on).rstrip("\n"), status


def cache_text(*, clear: bool) -> str:
    """Return where the cache of embeddings is and what is in it; with ``clear``, empty it."""
    from pytest_sst2.embedding_cache import EmbeddingCache, cache_folder

    cache = EmbeddingCache(cache_folder(), 0)
    size = cache.size_bytes()
    if clear:
        removed = cache.clear()
        return f"{cache.folder}: {removed} {'entry' if removed == 1 else 'entries'} removed, {size / 2**20:.1f} MB"
    return f"{cache.folder}: {size / 2**20:.1f} MB. Remove with: pytest-sst2 cache --clear"


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


_TABLES = {
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
