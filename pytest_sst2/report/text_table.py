"""Lay out a table that fits the width of a terminal, leaving out the least important columns."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.sanitize import one_line

# Stands for a missing value.
NONE = "–"

_GAP = 2
# Limit of one cell's text if the terminal sets no other.
_MOST_CELL_CHARACTERS = 200
# A truncated text keeps at least this many characters.
_FEWEST_CHARACTERS = 8


def fit_table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    left_out_first: Sequence[str] = (),
    right: Sequence[str] = (),
    truncated: str = "",
) -> tuple[str, list[str]]:
    """Return a table of at most ``width`` columns, and the headers of the columns that were left out.

    Args:
        headers: One per column.
        rows: One text per column in each row.
        width: Columns of the terminal; None for no limit.
        left_out_first: Headers of the columns that may be left out, the least important first.
        right: Headers of the columns that are aligned to the right.
        truncated: Header of the column whose texts are truncated if the table is still too wide; to at least 8
            characters.
    """
    from tabulate import tabulate

    rows = [[one_line(cell, _MOST_CELL_CHARACTERS) for cell in row] for row in rows]
    left_out: list[str] = []
    kept = list(range(len(headers)))
    for header in (header for header in left_out_first if header in headers):
        if width is None or _width(headers, rows, kept) <= width:
            break
        kept.remove(headers.index(header))
        left_out.append(header)
    lines = [[row[index] for index in kept] for row in (headers, *rows)]
    if width is not None and truncated:
        column = kept.index(headers.index(truncated))
        room = max(len(line[column]) for line in lines) - (_width(headers, rows, kept) - width)
        most = max(room, _FEWEST_CHARACTERS)
        lines = [[*line[:column], truncate(line[column], most), *line[column + 1 :]] for line in lines]
    rule = ["-" * max(map(len, column)) for column in zip(*lines, strict=True)]
    text: str = tabulate(
        # The headers are passed as a row, because tabulate widens each column by two for real headers.
        [lines[0], rule, *lines[1:]],
        tablefmt="plain",
        colalign=["right" if headers[index] in right else "left" for index in kept],
        disable_numparse=True,
    )
    return "\n".join(line.rstrip() for line in text.split("\n")), left_out


def left_out_line(left_out: Sequence[str], width: int | None) -> str:
    """Return the line below a table that names the columns left out; empty if there are none."""
    return f"\n(no room at {width} columns for: {', '.join(left_out)})" if left_out else ""


def _width(headers: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    return sum(max(len(row[index]) for row in (headers, *rows)) + _GAP for index in kept) - _GAP
