"""``pytest-sst2``: what can be asked for, and how two saved runs compare, without running anything."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_sst2 import __version__, commands, option_types
from pytest_sst2.errors import Sst2Error
from pytest_sst2.gate import ALPHA, FAIL_ON, FAIL_ON_DEFAULT, TOLERANCE
from pytest_sst2.report.wording import printable

_FORMATS = ("text", "markdown", "json")
_MISTAKE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    asked = _parser().parse_args(arguments)
    status = 0
    # A pipe may have an encoding that lacks a sign of ours; that is no reason to lose the rest.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        text, status = asked.run(asked)
        print("\n".join(_dressed(printable(line)) for line in text.split("\n")))
    except Sst2Error as error:
        print(f"pytest-sst2: {error}", file=sys.stderr)
        return _MISTAKE
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
    return int(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pytest-sst2",
        description="What `pytest benchmarks` can be asked for, and how two saved runs compare.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-sst2 {__version__}")
    words = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], tuple[str, int]], about: str) -> argparse.ArgumentParser:
        made = words.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
        made.set_defaults(run=run)
        return made

    add("models", commands.models, "list the encoders that have a short name")
    add("methods", commands.methods, "list the built-in ways to make a classifier")
    add("recipes", commands.recipes, "list the presets of --sst2-recipe")
    _add_compare(add("compare", commands.compare, _COMPARE))
    _add_report(add("report", commands.report, _REPORT))
    _add_history(add("history", commands.history, _HISTORY))
    add("cache", commands.cache, _CACHE).add_argument("--clear", action="store_true", help="remove every entry")
    return parser


def _dressed(line: str) -> str:
    """Return a line as this terminal shows it: in colour, unless it is a file or NO_COLOR (no-color.org) is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    from pytest_sst2.report.colour import ansi, coloured

    return coloured(line, ansi)


_REPORT = "write the report of saved results: HTML to look at, Markdown to paste, CSV to reckon with"
_HISTORY = "show accuracy and time of every cell over the saved baselines"
_CACHE = "say where embeddings are kept from run to run, and how much room they take"
_COMPARE = "compare two saved runs; exit status 0: it holds, 1: it fails, 2: they cannot be compared"


def _add_compare(parser: argparse.ArgumentParser) -> None:
    for name in ("before", "after"):
        parser.add_argument(
            name, metavar=name.upper(), help="a baseline's name, or a file of --sst2-json or --sst2-save"
        )
    parser.add_argument("--format", choices=_FORMATS, default=_FORMATS[0], help="(default: text)")
    _add_rule(parser)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of --sst2-json, or names of baselines")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="where it is written")
    parser.add_argument("--compare", metavar="NAME|FILE", help="the baseline to compare with")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="the data set, for the sentences (default: the pocket set, or SST-2 in the Hub's cache)",
    )
    _add_rule(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("baselines", nargs="*", metavar="NAME|FILE", help="baselines (default: all saved ones)")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write it as a page with plots, too")


def _add_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fail-on",
        type=option_types.several_of(FAIL_ON),
        default=FAIL_ON_DEFAULT,
        metavar="A,B",
        help=f"what fails: {', '.join(FAIL_ON)}, or none (default: {FAIL_ON_DEFAULT})",
    )
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


if __name__ == "__main__":
    sys.exit(main())
