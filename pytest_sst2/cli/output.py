"""Print texts and tables to the terminal."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Sequence

from pytest_sst2.utils.sanitize import encodable, one_line, printable


def print_text(text: str) -> None:
    """Print a text without control characters and secrets, in colour on a terminal."""
    lines = [_in_colour(encodable(printable(line), sys.stdout.encoding)) for line in text.split("\n")]
    print("\n".join(lines), flush=True)


def _in_colour(line: str) -> str:
    """Return a line with colours, unless stdout is not a terminal or NO_COLOR (no-color.org) is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return line
    from pytest_sst2.report.ansi import ansi, coloured

    return coloured(line, ansi)


def screen_width() -> int | None:
    """Return the columns of the terminal or of COLUMNS, None for a file or a pipe."""
    return shutil.get_terminal_size((0, 0)).columns or None


def join_lines(lines: Iterable[str]) -> str:
    """Return lines as one text; line breaks inside a line are removed."""
    return "\n".join(map(one_line, lines))


def add_format_option(parser: argparse.ArgumentParser, *formats: str) -> None:
    """Add ``--format`` with the choices ``text``, ``json``, and ``formats``."""
    choices = ("text", *formats, "json")
    parser.add_argument("--format", choices=choices, default=choices[0], help=f"output format (default: {choices[0]})")


def table(rows: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """Return rows as a text table."""
    from pytest_sst2.report.text_table import fit_table

    return fit_table(headers, [[*map(str, row)] for row in rows], width=None)[0]
