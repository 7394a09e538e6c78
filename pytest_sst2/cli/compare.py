"""``pytest-sst2 compare``: compare two saved runs, or cells of one."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from pytest_sst2.cli.comparison_options import (
    PAIR_OPTION,
    add_changed_option,
    add_comparison_options,
    add_pair_option,
)
from pytest_sst2.cli.output import add_format_option, screen_width
from pytest_sst2.config.against import PAIR_FAIL_ON
from pytest_sst2.config.compare_command import compare_command
from pytest_sst2.config.declared import Declared
from pytest_sst2.config.options import FAIL_ON_DEFAULT
from pytest_sst2.results.baselines import load_baseline, load_results, project_folder
from pytest_sst2.results.file import Results
from pytest_sst2.utils.errors import Sst2Error

HELP = "compare two saved runs, or cells of one; exit status 0: it holds, 1: it fails, 2: they cannot be compared"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("before", metavar="BEFORE", help="baseline, results file, or REF:PATH of a commit")
    parser.add_argument("after", metavar="AFTER", nargs="?", help=f"as BEFORE; not with {PAIR_OPTION}")
    add_format_option(parser, "markdown")
    add_pair_option(parser)
    add_changed_option(parser)
    add_comparison_options(parser)
    parser.set_defaults(fail_on=None)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the comparison and its exit status.

    Raises:
        Sst2Error: Results cannot be found or read, or a name of a pair is unknown.
    """
    here = Path.cwd()
    folder = project_folder(here)
    if options.pairs:
        if options.after is not None:
            raise Sst2Error(f"{PAIR_OPTION} compares cells of one run, so name one file, not {options.after!r} too.")
        return _within_run(load_results(folder, here, options.before), options)
    if options.after is None:
        raise Sst2Error(
            f"name two runs to compare: pytest-sst2 compare {shlex.quote(options.before)} AFTER. To compare cells of "
            f"one run, add {PAIR_OPTION} A=B."
        )
    before, after = load_baseline(folder, here, options.before), load_results(folder, here, options.after)

    from pytest_sst2.compare.comparison import compare
    from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
    from pytest_sst2.report.markdown import markdown
    from pytest_sst2.report.summary import make_report

    declared = Declared.of(options.changed)
    comparison = compare(before, after, tolerance=options.tolerance, alpha=options.alpha, declared=declared)
    if comparison.to_declare:
        command = compare_command(
            options.before, options.after, tolerance=options.tolerance, alpha=options.alpha, fail_on=options.fail_on
        )
        comparison = replace(comparison, to_declare=f"{command} {comparison.to_declare}")
    fail_on = tuple(FAIL_ON_DEFAULT.split(",")) if options.fail_on is None else options.fail_on
    status = comparison.exit_status(fail_on)
    if options.format == "markdown":
        return markdown(make_report(after, comparison, fail_on)).rstrip("\n"), status
    if options.format == "json":
        return comparison_json(comparison, fail_on), status
    return "\n".join(comparison_lines(comparison, fail_on, screen_width())), status


def _within_run(results: Results, options: argparse.Namespace) -> tuple[str, int]:
    """Return the comparison of cells of one run. It is a question, so only a ``--fail-on`` that was typed fails it."""
    from pytest_sst2.compare.within_run import compare_within
    from pytest_sst2.report.markdown import within_run_markdown
    from pytest_sst2.report.within_run_text import within_run_json, within_run_lines

    within = compare_within(
        results, options.pairs, tolerance=options.tolerance, alpha=options.alpha, option=PAIR_OPTION
    )
    fail_on = options.fail_on or ()
    if other := [word for word in fail_on if word not in PAIR_FAIL_ON]:
        raise Sst2Error(f"--fail-on {other[0]}: with {PAIR_OPTION} only {', '.join(PAIR_FAIL_ON)} can fail.")
    status = within.exit_status(fail_on)
    if options.format == "markdown":
        return within_run_markdown(within).rstrip("\n"), status
    if options.format == "json":
        return within_run_json(within, fail_on), status
    return "\n".join(within_run_lines(within, screen_width())), status
