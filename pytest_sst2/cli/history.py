"""``pytest-sst2 history``: show accuracy and time over the saved baselines."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from pytest_sst2.cli.output import add_format_option, join_lines, screen_width
from pytest_sst2.results.baselines import FOLDER, load_baseline, project_folder, read_baselines
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import json_text

HELP = "show accuracy and time of every cell over the saved baselines"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "baselines", nargs="*", metavar="NAME|FILE|REF:PATH", help="baselines (default: all saved ones)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="also write an HTML page to this folder")
    add_format_option(parser)


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the history as text or JSON; with ``-o``, also write it as HTML.

    Raises:
        Sst2Error: There are no baselines, one cannot be read, or the page cannot be written.
    """
    from pytest_sst2.utils.atomic_write import check_writable, write_atomically

    path = options.output / "sst2-history.html" if options.output else None
    if path:
        check_writable(path, "-o")
    here = Path.cwd()
    folder = project_folder(here)
    baselines, skipped = (
        ([load_baseline(folder, here, name) for name in options.baselines], [])
        if options.baselines
        else read_baselines(folder)
    )
    if not baselines:
        raise Sst2Error(
            f"there are no baselines in {str(folder / FOLDER)!r}. Save one with --sst2-save NAME. {' '.join(skipped)}"
        )

    from pytest_sst2.compare.history import cell_histories
    from pytest_sst2.report.history import history_html, history_lines

    histories = cell_histories(baselines)
    if path:
        write_atomically(path, history_html(histories))
    if options.format == "json":
        return json_text({"cells": list(map(asdict, histories)), "skipped": skipped}), 0
    lines = [*history_lines(histories, screen_width()), *skipped]
    if path:
        lines += ["", f"as a page: {path}"]
    return join_lines(lines), 0
