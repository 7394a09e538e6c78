"""The tables of a page, as the templates take them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_sst2.report.bars import Bar


@dataclass(frozen=True)
class Header:
    """The header of a column."""

    text: str
    is_numeric: bool = False
    tooltip: str = ""
    is_bar: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell: its text, the number to sort by, a note below it; or a bar."""

    text: str = ""
    number: float | None = None
    note: str = ""
    bar: Bar | None = None


@dataclass(frozen=True)
class Row:
    """A row, and its tone: ``good``, ``bad``, ``neutral`` or empty."""

    cells: tuple[Cell, ...]
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table. With an ``id`` its rows can be sorted and filtered; ``more`` says where the rows left out are."""

    label: str
    headers: tuple[Header, ...]
    rows: tuple[Row, ...]
    id: str = ""
    kind: str = ""
    more: str = ""


def plain_table(
    label: str, headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Collection[str] = (), kind: str = ""
) -> Table:
    """Return a table of texts; ``numeric`` has the headers of the columns that are aligned to the right."""
    return Table(
        label,
        tuple(Header(header, header in numeric) for header in headers),
        tuple(Row(tuple(map(Cell, row))) for row in rows),
        kind=kind,
    )
