"""Render the history of the saved baselines as text for a terminal and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_sst2.compare.history import BaselinePoint, CellHistory
from pytest_sst2.report.svg import DASHES, Figure, colour, cycled, draw, marks
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.utils.formatting import signed_points
from pytest_sst2.utils.sanitize import one_line
from pytest_sst2.version import __version__

if TYPE_CHECKING:
    import altair as alt

HEADERS = ("cell", "baseline", "saved", "accuracy", "Δ points", "seeds", "seconds", "× previous")
NUMERIC = ("accuracy", "Δ points", "seeds", "seconds", "× previous")
_LEFT_OUT_FIRST = ("seeds", "× previous", "saved", "seconds")
_BARS = "▁▂▃▄▅▆▇█"
_SECONDS_NOTE = (
    "Seconds of training and predicting, at the speed of the machine of the newest baseline. – means that a phase was "
    "cached (--sst2-no-cache measures it), or that the machine's speed is unknown."
)


def history_lines(histories: Sequence[CellHistory], width: int | None = None) -> list[str]:
    """Return the history as lines for a terminal: tables, and the accuracies of each cell as a line of bars."""
    lines: list[str] = []
    for title, of_table in _tables(histories).items():
        rows = [row for history in of_table for row in _rows(history)]
        text, left_out = fit_table(
            HEADERS, rows, width=width, left_out_first=_LEFT_OUT_FIRST, right=NUMERIC, truncated="cell"
        )
        lines += [title, "", *(text + left_out_line(left_out, width)).split("\n"), ""]
        for history in of_table:
            accuracies = [point.accuracy for point in history.points]
            span = f"{min(accuracies):.4f} to {max(accuracies):.4f}"
            lines.append(f"{bars(accuracies)}  accuracy of {history.cell}, {span}")
        lines.append("")
    return [*map(one_line, lines), _SECONDS_NOTE]


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
    """Return the history as one HTML document: charts and a table for every data set, recipe and device."""
    from pytest_sst2.report.templating import page

    parts = []
    # Every chart shows all baselines, so that charts are comparable.
    saved = {(point.saved, point.baseline) for history in histories for point in history.points}
    baselines = [name for _, name in sorted(saved)]
    for title, of_table in _tables(histories).items():
        points = [(history.cell, point) for history in of_table for point in history.points]
        accuracies = [_chart_value(cell, point, 100 * point.accuracy, "%") for cell, point in points]
        times = [_chart_value(cell, point, point.seconds, "s") for cell, point in points if point.seconds is not None]
        figures = [_chart("Accuracy", "accuracy, %", accuracies, baselines, "The mean over the seeds.")]
        if times:
            figures.append(_chart("Time", "seconds", times, baselines, _SECONDS_NOTE))
        rows = [row for history in of_table for row in _rows(history)]
        parts.append({"title": title, "figures": figures, "rows": rows})
    return page("history.html.j2", parts=parts, headers=HEADERS, numeric=NUMERIC, version=__version__)


def _chart_value(cell: str, point: BaselinePoint, value: float, unit: str) -> dict[str, Any]:
    description = f"{cell}, {point.baseline} ({_day(point)}): {value:.2f} {unit}"
    return {"cell": cell, "baseline": point.baseline, "value": value, "description": description}


def _chart(title: str, axis: str, values: Sequence[dict[str, Any]], baselines: Sequence[str], caption: str) -> Figure:
    """Return a chart of one quantity over the saved baselines; the values are those of ``_chart_value``."""
    import altair as alt

    names = list(dict.fromkeys(value["cell"] for value in values))
    placed = [{**value, "position": baselines.index(value["baseline"])} for value in values]

    def build(width: int) -> alt.LayerChart:
        chart = alt.Chart(alt.Data(values=placed))
        x = alt.X(
            "baseline:N",
            title=None,
            axis=alt.Axis(labelAngle=-40, labelLimit=110),
            scale=alt.Scale(domain=list(baselines)),
        )
        order = alt.Order("position:Q")
        y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
        dash = alt.StrokeDash("cell:N", legend=None, scale=alt.Scale(domain=names, range=cycled(DASHES, names)))
        lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("cell", names), strokeDash=dash, order=order)
        points = marks(chart, x, y, "cell", names, size=70)
        return alt.layer(lines, points).properties(width=width - 90, height=260)

    return draw(title, caption, build)


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
        f"{point.accuracy:.4f}",
        NONE if previous is None else signed_points(point.accuracy - previous.accuracy),
        str(point.seeds),
        NONE if point.seconds is None else f"{point.seconds:.2f}",
        f"{point.seconds / previous.seconds:.2f}" if is_timed else NONE,  # type: ignore[operator, union-attr]
    )


def _day(point: BaselinePoint) -> str:
    return point.saved[:10] or "no date"
