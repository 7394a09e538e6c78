"""``pytest-sst2 compare``: compare two saved runs."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from pytest_sst2.cli.comparison_options import add_changed_option, add_comparison_options
from pytest_sst2.cli.output import add_format_option, screen_width
from pytest_sst2.config.declared import Declared
from pytest_sst2.results.baselines import load_baseline, load_results, project_folder

HELP = "compare two saved runs; exit status 0: it holds, 1: it fails, 2: they cannot be compared"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    for name in ("before", "after"):
        parser.add_argument(name, metavar=name.upper(), help="baseline, results file, or REF:PATH of a commit")
    add_format_option(parser, "markdown")
    add_changed_option(parser)
    add_comparison_options(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the comparison and its exit status.

    Raises:
        Sst2Error: One of the two cannot be found or read.
    """
    here = Path.cwd()
    folder = project_folder(here)
    before, after = load_baseline(folder, here, options.before), load_results(folder, here, options.after)

    from pytest_sst2.compare.comparison import compare
    from pytest_sst2.report.comparison_text import comparison_json, comparison_lines
    from pytest_sst2.report.markdown import markdown
    from pytest_sst2.report.summary import make_report

    declared = Declared.of(options.changed)
    comparison = compare(before, after, tolerance=options.tolerance, alpha=options.alpha, declared=declared)
    if comparison.to_declare:
        command = shlex.join(["pytest-sst2", "compare", options.before, options.after])
        comparison = replace(comparison, to_declare=f"{command} {comparison.to_declare}")
    status = comparison.exit_status(options.fail_on)
    if options.format == "markdown":
        return markdown(make_report(after, comparison, options.fail_on)).rstrip("\n"), status
    if options.format == "json":
        return comparison_json(comparison, options.fail_on).rstrip("\n"), status
    return "\n".join(comparison_lines(comparison, options.fail_on, screen_width())), status
