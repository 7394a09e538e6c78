"""``pytest-sst2 report``: write the report of saved results."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_sst2.cli.comparison_options import PAIR_OPTION, add_changed_option, add_comparison_options, add_pair_option
from pytest_sst2.cli.output import join_lines
from pytest_sst2.config.declared import Declared
from pytest_sst2.results.baselines import load_baseline, load_results, project_folder
from pytest_sst2.utils.errors import Sst2Error

HELP = "write the report of saved results: HTML to read, Markdown to paste, CSV for spreadsheets"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="files of --sst2-json, names of baselines, or REF:PATH"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to write to")
    parser.add_argument("--compare", metavar="NAME|FILE|REF:PATH", help="baseline or file to compare with")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="folder of the data set, to show the sentences in the report (default: the pocket set, or SST-2 in the "
        "Hub's cache)",
    )
    add_pair_option(parser)
    add_changed_option(parser)
    add_comparison_options(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Write the report to a folder, and return the verdict and the paths.

    Raises:
        Sst2Error: A file cannot be found, read or written, or two files do not fit into one table.
    """
    from pytest_sst2.report.write import check_folder, write_report
    from pytest_sst2.results.merge import joined

    check_folder(options.output, "-o")
    if options.data is not None and not options.data.is_dir():
        raise Sst2Error(
            f"--data {str(options.data)!r} is not a folder. Name the folder of the data set that the cells were "
            "measured on."
        )
    here = Path.cwd()
    folder = project_folder(here)
    after = joined([load_results(folder, here, name) for name in options.files])
    before = load_baseline(folder, here, options.compare) if options.compare else None

    from pytest_sst2.compare.cell_analysis import analyse_cells
    from pytest_sst2.compare.comparison import compare
    from pytest_sst2.compare.within_run import compare_within
    from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
    from pytest_sst2.report.summary import make_report

    within = None
    if options.pairs:
        within = compare_within(
            after, options.pairs, tolerance=options.tolerance, alpha=options.alpha, option=PAIR_OPTION
        )
    declared, comparison = Declared.of(options.changed), None
    if before:
        comparison = compare(before, after, tolerance=options.tolerance, alpha=options.alpha, declared=declared)
    report = make_report(after, comparison, options.fail_on, within=within)
    cells = analyse_cells(after, SentenceLookup(local_sources(options.data)), before, comparison)
    paths = write_report(options.output, report, cells)
    return join_lines(filter(None, [report.headline, report.advice, *map(str, paths)])), 0
