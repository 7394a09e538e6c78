"""Render the history of the saved baselines as text for a terminal and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2.compare.history import BaselinePoint, CellHistory
from pytest_sst2.report.bars import Line, line
from pytest_sst2.report.page_table import plain_table
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.utils.formatting import p_value, signed_points
from pytest_sst2.utils.sanitize import one_line
from pytest_sst2.version import __version__

HEADERS = ("cell", "baseline", "saved", "commit", "accuracy", "Δ points", "seeds", "seconds", "× previous", "versions")
NUMERIC = ("accuracy", "Δ points", "seeds", "seconds", "× previous")
# Without a value in any row they are left out.
_OPTIONAL = ("commit", "versions")
_LEFT_OUT_FIRST = ("versions", "seeds", "× previous", "commit", "saved", "seconds")
_BARS = "▁▂▃▄▅▆▇█"
_SECONDS_NOTE = (
    "Seconds of training and predicting, at the speed of the machine of the newest baseline. – means that a phase was "
    "cached (--sst2-no-cache measures it), or that the machine's speed is unknown."
)


def history_lines(histories: Sequence[CellHistory], width: int | None = None) -> list[str]:
    """Return the history as lines for a terminal: tables, and a line of bars per cell with several accuracies."""
    lines: list[str] = []
    for title, of_table in _tables(histories).items():
        headers, rows = _table(of_table)
        text, left_out = fit_table(
            headers, rows, width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, truncated="cell"
        )
        lines += [title, "", *(text + left_out_line(left_out, width)).split("\n"), ""]
        for history in of_table:
            accuracies = [point.accuracy for point in history.points]
            lines += [f"{bars(accuracies)}  {_span(history)}"] if len(accuracies) > 1 else []
            lines += shift_sentences(history)
        lines.append("")
    return [*map(one_line, lines), _SECONDS_NOTE]


def shift_sentences(history: CellHistory) -> list[str]:
    """Return a sentence for each baseline from which the accuracy of a cell differs."""
    return [
        f"{history.cell} differs from {shift.baseline!r} on{f' (commit {shift.commit})' if shift.commit else ''}: "
        f"{signed_points(shift.delta)} points against {shift.against!r}, p {p_value(shift.p)} after Holm's correction"
        f"{f'; {shift.cause}' if shift.cause else ''}"
        for shift in history.shifts
    ]


def _tables(histories: Sequence[CellHistory]) -> dict[str, list[CellHistory]]:
    """Return the histories of each table, by its title."""
    tables: dict[str, list[CellHistory]] = {}
    for history in histories:
        tables.setdefault(f"{history.dataset} · recipe {history.recipe} · {history.device}", []).append(history)
    return tables


def bars(values: Sequence[float]) -> str:
    """Return values as a line of bars, scaled from the lowest value to the highest."""
    low, high = min(values), max(values)
    steps = [round((value - low) / (high - low) * (len(_BARS) - 1)) if high > low else 3 for value in values]
    return "".join(_BARS[step] for step in steps)


def history_html(histories: Sequence[CellHistory]) -> str:
    """Return the history as one HTML document: for every data set, recipe and device, a line per cell and a table."""
    from pytest_sst2.report.templating import page

    parts = []
    for title, of_table in _tables(histories).items():
        headers, rows = _table(of_table)
        lines = [drawn for history in of_table if (drawn := _line(history)) is not None]
        shifts = [sentence for history in of_table for sentence in shift_sentences(history)]
        table = plain_table(title, headers, rows, NUMERIC)
        parts.append({"title": title, "shifts": shifts, "lines": lines, "table": table})
    return page("history.html.j2", parts=parts, note=_SECONDS_NOTE, version=__version__)


def _line(history: CellHistory) -> Line | None:
    labels = [f"{point.baseline} ({_day(point)}): {point.accuracy:.4f}" for point in history.points]
    return line([point.accuracy for point in history.points], labels, _span(history))


def _span(history: CellHistory) -> str:
    """Return the description of a cell's line, with both of its ends."""
    accuracies = [point.accuracy for point in history.points]
    low, high = min(accuracies), max(accuracies)
    course = f"{low:.4f}" if low == high else f"{low:.4f} (lowest) to {high:.4f} (highest)"
    return f"accuracy of {history.cell}, {course}, from {history.points[0].baseline} to {history.points[-1].baseline}"


def _table(histories: Sequence[CellHistory]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the headers and rows of a table, without commits or versions if none is known."""
    rows = [row for history in histories for row in _rows(history)]
    kept = [
        place
        for place, header in enumerate(HEADERS)
        if header not in _OPTIONAL or any(row[place] != NONE for row in rows)
    ]
    headers, *rows = [tuple(row[place] for place in kept) for row in (HEADERS, *rows)]
    return headers, rows


def _rows(history: CellHistory) -> list[tuple[str, ...]]:
    return [
        _row(history, point, previous)
        for previous, point in zip((None, *history.points[:-1]), history.points, strict=True)
    ]


def _row(history: CellHistory, point: BaselinePoint, previous: BaselinePoint | None) -> tuple[str, ...]:
    is_timed = previous is not None and previous.seconds and point.seconds is not None
    return (
        history.cell if previous is None else "",
        point.baseline,
        _day(point),
        point.commit or NONE,
        f"{point.accuracy:.4f}",
        NONE if previous is None else signed_points(point.accuracy - previous.accuracy),
        str(point.seeds),
        NONE if point.seconds is None else f"{point.seconds:.2f}",
        f"{point.seconds / previous.seconds:.2f}" if is_timed else NONE,  # type: ignore[operator, union-attr]
        ", ".join(_versions(history, point, previous)) or NONE,
    )


def _versions(history: CellHistory, point: BaselinePoint, previous: BaselinePoint | None) -> list[str]:
    """Return the versions that changed since the previous baseline; of the first one, those that change later."""
    if previous is not None:
        return [version for version in point.versions if version not in previous.versions]
    return [version for version in point.versions if any(version not in other.versions for other in history.points)]


def _day(point: BaselinePoint) -> str:
    return point.saved[:10] or "no date"
