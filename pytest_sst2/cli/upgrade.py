"""``pytest-sst2 upgrade``: the arguments of the upgrade check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_sst2.cli.comparison_options import add_comparison_options
from pytest_sst2.cli.output import print_text, screen_width
from pytest_sst2.config.option_parsers import growth, positive_int, time_span
from pytest_sst2.config.options import BARE_FLAGS, OPTIONS, Option

HELP = "run the same benchmarks in two environments or at two commits, and find what causes a difference"
# Options that decide a number. The others are about the files of a single run.
_BENCHMARK_OPTIONS = (
    *("models", "methods", "data", "columns", "labels", "recipe", "train_size", "eval", "eval_size", "seeds"),
    *("epochs", "batch_size", "learning_rate", "max_length", "dtype", "device", "trust_remote_code"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "requirements", nargs="*", metavar="REQUIREMENT", help="what changes, such as 'transformers==5.24.0'"
    )
    parser.epilog = (
        "A command after -- runs instead of the benchmarks, such as `-- pytest tests -x`. Its exit status is compared."
    )
    parser.set_defaults(flags=[], command=[])
    _add_environments(parser)
    bisection = parser.add_argument_group("cause")
    text = "find the smallest set of packages, or the first commit, that causes a difference"
    bisection.add_argument("--bisect", action="store_true", help=text)
    text = "with --bisect: also find the first bad release"
    bisection.add_argument("--bisect-releases", action="store_true", help=text)
    bisection.add_argument("--versions", action="store_true", help=argparse.SUPPRESS)  # the old name of the former
    _add_benchmarks(parser)
    add_comparison_options(parser, prefixed=True)


def _add_environments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("environments")
    base = group.add_mutually_exclusive_group()
    text = "lock file or baseline of the earlier environment, also as COMMIT:FILE"
    base.add_argument("--from", dest="base", metavar="FILE", help=text)
    base.add_argument("--from-current", action="store_true", help="start from the versions installed here (default)")
    text = "lock file or baseline of the later environment; with --from alone: what is installed here"
    group.add_argument("--to", metavar="FILE", help=text)
    group.add_argument(
        "--latest", action="store_true", help="upgrade all packages to the newest versions that fit together"
    )
    text = "earlier commit, branch or tag of your repository"
    group.add_argument("--from-ref", metavar="COMMIT", help=text)
    text = "later commit, branch or tag (default: HEAD)"
    group.add_argument("--to-ref", metavar="COMMIT", help=text)
    group.add_argument("--python", metavar="VERSION", help="interpreter of the later environment")
    group.add_argument(
        "--with",
        dest="extra_requirements",
        action="append",
        default=[],
        metavar="REQUIREMENT",
        help="also install this in both environments; may be repeated",
    )
    group.add_argument("--clean", action="store_true", help="first remove the environments of earlier checks")


def _add_benchmarks(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("benchmarks")
    group.add_argument(
        "--benchmarks",
        metavar="PATH",
        help="folder or file of benchmarks (default: the folder benchmarks, else the bundled ones)",
    )
    group.add_argument(
        "--passes",
        type=positive_int,
        metavar="N",
        help="runs in each environment, in turns (default: 2; with --sst2-seeds auto or --time: 1)",
    )
    text = "measure in turns until it is decided whether a phase takes more than X percent longer"
    group.add_argument("--time", type=growth, metavar="X%", help=text)
    text = "with --time: longest duration (default: 10min)"
    group.add_argument("--budget", type=time_span, metavar="TIME", help=text)
    group.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="write the report of the comparison")
    for option in OPTIONS:
        if option.name in _BENCHMARK_OPTIONS:
            flags = [flag for flag in (BARE_FLAGS.get(option.name), option.flag) if flag]
            group.add_argument(*flags, action=_PassedOn, option=option, metavar=option.metavar, help=option.help)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Check an upgrade, print each step, and return the finding and its exit status.

    Raises:
        Sst2Error: The arguments are invalid, uv is not installed, or an environment cannot be used.
    """
    from pytest_sst2.upgrade import command

    if options.versions:
        print("pytest-sst2: warning: --versions is deprecated; use --bisect-releases.", file=sys.stderr)
        options.bisect_releases = True
    return command.run(options, print_text, screen_width())


class _PassedOn(argparse.Action):
    """An option that is checked here and passed on to pytest as it was typed."""

    def __init__(self, option_strings: Sequence[str], dest: str, option: Option, **keywords: Any) -> None:
        super().__init__(option_strings, dest, nargs=0 if option.parse is None else None, **keywords)
        self.option = option

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Store the option as text; the last value wins."""
        try:
            if self.option.parse is not None:
                self.option.parse(values)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        typed = self.option.flag if self.option.parse is None else f"{self.option.flag}={values}"
        others = [flag for flag in namespace.flags if flag.partition("=")[0] != self.option.flag]
        namespace.flags = [*others, typed]
