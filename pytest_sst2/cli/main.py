"""``pytest-sst2``: what can be asked for, and how two saved runs compare, without running anything."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pytest_sst2 import __version__
from pytest_sst2.cli import commands
from pytest_sst2.config import option_parsers as option_types
from pytest_sst2.config.options import (
    ALPHA,
    BARE_FLAGS,
    FAIL_ON,
    FAIL_ON_DEFAULT,
    OPTIONS,
    RENAMED_FAIL_ON,
    TOLERANCE,
    Option,
)
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import encodable, one_line, printable

_FORMATS = ("text", "markdown", "json")
_MISTAKE = 2
# As shells have it: 128 and the number of the signal.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    asked = _parsed(arguments)
    status = 0
    # A pipe may have an encoding that lacks a sign of ours; that is no reason to lose the rest.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        text, status = asked.run(asked)
        _say(text)
    except Sst2Error as error:
        print(f"pytest-sst2: {error}", file=sys.stderr)
        return _MISTAKE
    except KeyboardInterrupt:
        print("pytest-sst2: interrupted.", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        sys.stderr.close()
    return int(status)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints quote no secret."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command line, and exit."""
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pytest-sst2",
        description="What `pytest benchmarks` can be asked for, and how two saved runs compare.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-sst2 {__version__}")
    parser.set_defaults(say=_say)
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
    _add_merge(add("merge", commands.merge, _MERGE))
    _add_history(add("history", commands.history, _HISTORY))
    _add_upgrade(add("upgrade", commands.upgrade, _UPGRADE))
    add("doctor", commands.doctor, _DOCTOR)
    add("cache", commands.cache, _CACHE).add_argument("--clear", action="store_true", help="remove every entry")
    return parser


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line; requirements may stand before, between and behind the options of ``upgrade``."""
    parser = _parser()
    asked, rest = parser.parse_known_args(arguments)
    if rest and hasattr(asked, "requirements") and not any(each.startswith("-") for each in rest):
        asked.requirements += rest
    elif rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return asked


def _say(text: str) -> None:
    lines = [_dressed(encodable(printable(line), sys.stdout.encoding)) for line in text.split("\n")]
    print("\n".join(lines), flush=True)


def _dressed(line: str) -> str:
    """Return a line as this terminal shows it: in colour, unless it is a file or NO_COLOR (no-color.org) is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    from pytest_sst2.report.ansi import ansi, coloured

    return coloured(line, ansi)


_REPORT = "write the report of saved results: HTML to look at, Markdown to paste, CSV to reckon with"
_MERGE = "join the results files of a run's shards; exit status 0: complete, 1: cells are missing"
_HISTORY = "show accuracy and time of every cell over the saved baselines"
_CACHE = "say where embeddings are kept from run to run, and how much room they take"
_UPGRADE = "say whether new versions are safe: the same benchmarks in two environments, and which package is to blame"
_DOCTOR = "say what is installed and reachable, which models and recipes run here, and what to do about the rest"
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


def _add_merge(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of --sst2-json, one a shard")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the joined file")
    parser.add_argument("--save", metavar="NAME", help="keep it as a baseline in .sst2/, if nothing is missing")
    parser.add_argument("--overwrite", action="store_true", help="replace the file or the baseline that is there")


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("baselines", nargs="*", metavar="NAME|FILE", help="baselines (default: all saved ones)")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write it as a page with plots, too")


# What the benchmarks of an upgrade may be told; the rest is about files of a single run.
_OF_BENCHMARKS = (
    *("models", "methods", "data", "recipe", "train_size", "eval", "eval_size", "seeds", "epochs", "batch_size"),
    *("learning_rate", "max_length", "dtype", "device", "trust_remote_code"),
)


def _add_upgrade(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("requirements", nargs="*", metavar="REQUIREMENT", help="what is to change: 'transformers==5.23.0' ...")
    parser.set_defaults(flags=[])
    sides = parser.add_argument_group("the two environments")
    base = sides.add_mutually_exclusive_group()
    base.add_argument("--from", dest="base", type=Path, metavar="FILE", help="pins of the earlier environment")
    base.add_argument("--from-current", action="store_true", help="take the versions installed here (default)")
    sides.add_argument("--to", type=Path, metavar="FILE", help="pins of the later environment")
    sides.add_argument("--latest", action="store_true", help="everything to the newest that resolves")
    sides.add_argument("--python", metavar="VERSION", help="interpreter of the later environment")
    sides.add_argument(
        "--with", dest="also", action="append", default=[], metavar="REQUIREMENT", help="install this in both, too"
    )
    sides.add_argument("--clean", action="store_true", help="remove what is kept of earlier upgrades first")
    blame = parser.add_argument_group("whose doing it is")
    blame.add_argument("--bisect", action="store_true", help="find the smallest set of changes that causes it")
    blame.add_argument("--versions", action="store_true", help="with --bisect: find its first bad release")
    runs = parser.add_argument_group("what is run in both")
    runs.add_argument(
        "--benchmarks", metavar="PATH", help="(default: the folder benchmarks, else those that come along)"
    )
    runs.add_argument(
        "--passes",
        type=option_types.positive_int,
        default=2,
        metavar="N",
        help="runs in either environment, by turns (default: 2)",
    )
    runs.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write the report of the comparison")
    for option in OPTIONS:
        if option.name in _OF_BENCHMARKS:
            flags = [each for each in (BARE_FLAGS.get(option.name), option.flag) if each]
            runs.add_argument(*flags, action=_Passed, option=option, metavar=option.metavar, help=option.help)
    _add_rule(parser, prefixed=True)


class _Passed(argparse.Action):
    """An option that is checked here and passed on to pytest as it was typed."""

    def __init__(self, option_strings: Sequence[str], dest: str, option: Option, **given: Any) -> None:
        super().__init__(option_strings, dest, nargs=0 if option.parse is None else None, **given)
        self.option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Keep the option as text."""
        try:
            if self.option.parse is not None:
                self.option.parse(values)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        typed = self.option.flag if self.option.parse is None else f"{self.option.flag}={values}"
        others = [flag for flag in namespace.flags if flag.partition("=")[0] != self.option.flag]
        namespace.flags = [*others, typed]


def _fail_on(text: str) -> tuple[str, ...]:
    """Parse ``--fail-on``; an old word is replaced, with a warning on stderr."""
    words = option_types.several_of(FAIL_ON, RENAMED_FAIL_ON)(text)
    return option_types.current_words(
        words, RENAMED_FAIL_ON, lambda message: print(f"pytest-sst2: warning: --fail-on: {message}", file=sys.stderr)
    )


def _add_rule(parser: argparse.ArgumentParser, *, prefixed: bool = False) -> None:
    """Add the gate's rule; with ``prefixed`` under the names that it has as options of pytest, too."""

    def add(name: str, **given: Any) -> None:
        flags = [f"--{name}", f"--sst2-{name}"] if prefixed else [f"--{name}"]
        parser.add_argument(*flags, **given)

    add(
        "fail-on",
        type=_fail_on,
        default=FAIL_ON_DEFAULT,
        metavar="A,B",
        help=f"what fails: {', '.join(FAIL_ON)}, or none (default: {FAIL_ON_DEFAULT})",
    )
    add(
        "tolerance",
        type=option_types.points,
        default=TOLERANCE,
        metavar="X",
        help=f"percentage points of accuracy that may be lost (default: {100 * TOLERANCE:g})",
    )
    add(
        "alpha",
        type=option_types.probability,
        default=ALPHA,
        metavar="X",
        help=f"level of significance, after Holm's correction (default: {ALPHA:g})",
    )


if __name__ == "__main__":
    sys.exit(main())
