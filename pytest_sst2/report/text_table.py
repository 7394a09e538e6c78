"""Fitting: a table as wide as the terminal, the columns that matter least left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.sanitize import one_line

_GAP = 2
# Of one cell, where the width of the terminal sets no other limit.
_MOST_OF_CELL = 200


def fitted(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None,
    left_out_first: Sequence[str] = (),
    right: Sequence[str] = (),
    shortened: str = "",
) -> tuple[str, list[str]]:
    """Return a table of at most ``width`` columns, and the headers of those that were left out for it.

    Args:
        headers: One a column.
        rows: As many cells as headers in each.
        width: Columns of the terminal; None for no limit.
        left_out_first: Headers of the columns that may go, the first to go first.
        right: Headers of the columns that are aligned to the right.
        shortened: Header of the column whose texts are cut, at worst to 8 signs, if the table is too wide even so.
    """
    from tabulate import tabulate

    rows = [[one_line(cell, _MOST_OF_CELL) for cell in row] for row in rows]
    left_out: list[str] = []
    kept = list(range(len(headers)))
    for header in left_out_first:
        if width is None or _width(headers, rows, kept) <= width:
            break
        kept.remove(headers.index(header))
        left_out.append(header)
    shown = [[row[index] for index in kept] for row in (headers, *rows)]
    if width is not None and shortened:
        column = kept.index(headers.index(shortened))
        room = _widest(row[column] for row in shown) - (_width(headers, rows, kept) - width)
        shown = [[*row[:column], truncate(row[column], max(room, 8)), *row[column + 1 :]] for row in shown]
    rule = ["-" * _widest(column) for column in zip(*shown, strict=True)]
    text: str = tabulate(
        # The headers as a row of their own: tabulate would widen each column by two for them.
        [shown[0], rule, *shown[1:]],
        tablefmt="plain",
        colalign=["right" if headers[index] in right else "left" for index in kept],
        disable_numparse=True,
    )
    return "\n".join(line.rstrip() for line in text.split("\n")), left_out


def left_out_line(left_out: Sequence[str], width: int | None) -> str:
    """Return the line below a table that says what is not in it; empty where nothing is missing."""
    return f"\n(no room at {width} columns for: {', '.join(left_out)})" if left_out else ""


def _width(headers: Sequence[str], rows: Sequence[Sequence[str]], kept: Sequence[int]) -> int:
    return sum(_widest(row[index] for row in (headers, *rows)) + _GAP for index in kept) - _GAP


def _widest(texts: Iterable[str]) -> int:
    return max(map(len, texts))
