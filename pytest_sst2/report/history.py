"""History as text for a terminal and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_sst2 import __version__
from pytest_sst2.compare.history import Point, Series
from pytest_sst2.report.text_table import fitted, left_out_line
from pytest_sst2.utils.formatting import signed_points
from pytest_sst2.utils.sanitize import one_line

HEADERS = ("cell", "baseline", "saved", "accuracy", "Δ points", "seeds", "seconds", "× the one before")
NUMERIC = ("accuracy", "Δ points", "seeds", "seconds", "× the one before")
_LEFT_OUT_FIRST = ("seeds", "× the one before", "saved", "seconds")
_NONE = "–"
_BARS = "▁▂▃▄▅▆▇█"
_ABOUT_SECONDS = (
    "Seconds of training and predicting, at the speed that the machine of the newest baseline has; – where a part of "
    "the work was taken from the cache (--sst2-no-cache measures it), or the machine's speed is not known."
)


def history_lines(series: Sequence[Series], width: int | None = None) -> list[str]:
    """Return the history as lines for a terminal: a table, and the accuracies of each cell as a line of bars.

    Args:
        series: Those of every cell.
        width: Columns of the terminal; None for no limit.
    """
    lines: list[str] = []
    for title, chosen in _tables(series).items():
        rows = [row for each in chosen for row in _rows(each)]
        text, left_out = fitted(
            HEADERS, rows, width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, shortened="cell"
        )
        lines += [title, "", *(text + left_out_line(left_out, width)).split("\n"), ""]
        lines += [_bars_line(each) for each in chosen]
        lines.append("")
    return [*map(one_line, lines), _ABOUT_SECONDS]


def _tables(series: Sequence[Series]) -> dict[str, list[Series]]:
    """Return the series that stand in one table, by its title."""
    found: dict[str, list[Series]] = {}
    for each in series:
        found.setdefault(f"{each.dataset} · recipe {each.recipe} · {each.device}", []).append(each)
    return found


def _bars_line(series: Series) -> str:
    accuracies = [point.accuracy for point in series.points]
    return f"{bars(accuracies)}  accuracy of {series.cell}, {min(accuracies):.4f} to {max(accuracies):.4f}"


def bars(values: Sequence[float]) -> str:
    """Return values as a line of bars, the lowest and the highest of them at the ends of the scale."""
    low, high = min(values), max(values)
    steps = [round((value - low) / (high - low) * (len(_BARS) - 1)) if high > low else 3 for value in values]
    return "".join(_BARS[step] for step in steps)


def history_html(series: Sequence[Series]) -> str:
    """Return the history as one HTML document: accuracy and time drawn for every data set and recipe."""
    from pytest_sst2.report import charts
    from pytest_sst2.report.templating import page

    parts = []
    # All baselines in every chart, so that two of them can be read beside each other.
    order = [name for _, name in sorted({(point.saved, point.baseline) for each in series for point in each.points})]
    for title, chosen in _tables(series).items():
        values = [
            {
                "cell": each.cell,
                "baseline": point.baseline,
                "value": 100 * point.accuracy,
                "says": f"{each.cell}, {point.baseline} ({_day(point)}): {100 * point.accuracy:.2f} %",
            }
            for each in chosen
            for point in each.points
        ]
        times = [
            {
                "cell": each.cell,
                "baseline": point.baseline,
                "value": point.seconds,
                "says": f"{each.cell}, {point.baseline} ({_day(point)}): {point.seconds:.2f} s",
            }
            for each in chosen
            for point in each.points
            if point.seconds is not None
        ]
        figures = [charts.history_chart("Accuracy", "accuracy, %", values, order, "The mean over the seeds.")]
        if times:
            figures.append(charts.history_chart("Time", "seconds", times, order, _ABOUT_SECONDS))
        rows = [row for each in chosen for row in _rows(each)]
        parts.append({"title": title, "figures": figures, "rows": rows})
    return page("history.html.j2", parts=parts, headers=HEADERS, numeric=NUMERIC, version=__version__)


def _rows(series: Series) -> list[tuple[str, ...]]:
    return [
        _row(series, point, before) for before, point in zip((None, *series.points[:-1]), series.points, strict=True)
    ]


def _row(series: Series, point: Point, before: Point | None) -> tuple[str, ...]:
    is_timed = before is not None and before.seconds and point.seconds is not None
    return (
        series.cell if before is None else "",
        point.baseline,
        _day(point),
        f"{point.accuracy:.4f}",
        _NONE if before is None else signed_points(point.accuracy - before.accuracy),
        str(point.seeds),
        _NONE if point.seconds is None else f"{point.seconds:.2f}",
        f"{point.seconds / before.seconds:.2f}" if is_timed else _NONE,  # type: ignore[operator, union-attr]
    )


def _day(point: Point) -> str:
    return point.saved[:10] or "no date"
