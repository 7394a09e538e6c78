"""Draw the charts over all cells of a report: accuracy against time, changes of accuracy, training."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.report.svg import COLOURS, DASHES, Figure, colour, draw, marks
from pytest_sst2.utils.formatting import shorten, signed_points

if TYPE_CHECKING:
    import altair as alt

# More rows or points are unreadable in a chart; the tables show all.
MOST_ROWS = 40
MOST_POINTS = 200
_WHISKERS = "Vertical lines are 95 % intervals of one classifier with the mean accuracy of the seeds."
_VERDICTS = {
    "improved": ("var(--good)", "triangle-up"),
    "identical": ("var(--quiet)", "circle"),
    "held": ("var(--good)", "circle"),
    "undecided": ("var(--quiet)", "square"),
    "regressed": ("var(--bad)", "triangle-down"),
}


def time_charts(cells: Sequence[CellAnalysis]) -> list[Figure]:
    """Return charts of accuracy against the total time of a cell, and against the time of one prediction."""
    figures = []
    timed = [(cell, seconds) for cell in cells if (seconds := _total_seconds(cell)) is not None]
    cached = [cell.name for cell in cells if _is_cached(cell)]
    if timed:
        caption = (
            "Loading, training and predicting, the median over the seeds. The line is the Pareto front: no cell is "
            f"both faster and more accurate than a cell on it. {_WHISKERS}"
        )
        if cached:
            caption += f" Not drawn, because a phase was cached: {shorten(cached, 10)}."
        figures.append(_time_chart("Accuracy against the time of training and predicting", caption, "seconds", timed))
    latencies = [
        (cell, 1000 * statistics.median([record.latency.p50_seconds for record in cell.records])) for cell in cells
    ]
    if latencies:
        caption = f"One sentence at a time, the median. The line is the Pareto front. {_WHISKERS}"
        figures.append(_time_chart("Accuracy against the time of one prediction", caption, "milliseconds", latencies))
    return figures


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the Pareto front of points (cost, gain), sorted by cost.

    A point is on the front if no other has at most its cost and at least its gain, one of them strictly.
    """
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def _time_chart(title: str, caption: str, unit: str, times: Sequence[tuple[CellAnalysis, float]]) -> Figure:
    import altair as alt

    values: list[dict[str, Any]] = []
    drawn_cells = _best(times)
    for cell, time in drawn_cells:
        total = cell.records[0].total
        low, high = wilson_interval(round(cell.accuracy * total), total)
        values.append(
            {
                "cell": cell.name,
                "method": cell.records[0].method,
                "time": time,
                "accuracy": 100 * cell.accuracy,
                "low": 100 * low,
                "high": 100 * high,
                "description": f"{cell.name}: {100 * cell.accuracy:.2f} % ({100 * low:.1f} to {100 * high:.1f}), "
                f"{time:,.3g} {unit}",
            }
        )
    front = pareto_front([(value["time"], value["accuracy"]) for value in values])
    # Few cells each have a colour; many cells have one colour per method.
    field = "cell" if len(values) <= len(COLOURS) else "method"
    names = list(dict.fromkeys(value[field] for value in values))

    def build(width: int) -> alt.LayerChart:
        x = alt.X(
            "time:Q",
            title=unit,
            axis=alt.Axis(format="~g", labelOverlap="greedy", labelSeparation=14),
            scale=alt.Scale(type="log", nice=False, padding=24),
        )
        y = alt.Y("accuracy:Q", title="accuracy, %", scale=alt.Scale(zero=False))
        chart = alt.Chart(alt.Data(values=values))
        line = (
            alt.Chart(alt.Data(values=[values[index] for index in front]))
            .mark_line(interpolate="step-after", color="var(--quiet)", strokeDash=[4, 3], aria=False)
            .encode(x=x, y=y)
        )
        whiskers = chart.mark_rule(color="var(--quiet)", aria=False).encode(x=x, y=alt.Y("low:Q"), y2="high:Q")
        points = marks(chart, x, y, field, names, size=90)
        return alt.layer(line, whiskers, points).properties(width=width - 90, height=280)

    return draw(title, caption + _omitted(drawn_cells, times), build)


def _best(points: Sequence[tuple[CellAnalysis, float]]) -> list[tuple[CellAnalysis, float]]:
    """Return at most ``MOST_POINTS`` points in the given order: the Pareto front, then the most accurate."""
    front = set(pareto_front([(time, cell.accuracy) for cell, time in points]))
    ranked = sorted(range(len(points)), key=lambda index: (index not in front, -points[index][0].accuracy))
    return [points[index] for index in sorted(ranked[:MOST_POINTS])]


def forest_chart(cells: Sequence[CellAnalysis], tolerance: float) -> Figure | None:
    """Return a chart of the change of accuracy of every compared cell, the largest drop first; None without any."""
    import altair as alt

    comparisons = [cell.comparison for cell in cells if cell.comparison]
    compared = [(cell, cell.accuracy) for cell in comparisons if cell.accuracy]
    if not compared:
        return None
    compared.sort(key=lambda item: item[1].delta)
    most_changed = _largest(compared, key=lambda item: abs(item[1].delta))
    values = []
    for cell, change in most_changed:
        causes = "; ".join(map(str, cell.causes))
        values.append(
            {
                "cell": cell.name,
                "delta": 100 * change.delta,
                "low": 100 * change.at_worst,
                "high": 100 * change.at_best,
                "verdict": cell.verdict,
                "description": f"{cell.name}: {cell.verdict}, {signed_points(change.delta)} points "
                f"(at worst {signed_points(change.at_worst)}, at best {signed_points(change.at_best)})"
                + (f"; {causes}" if causes else ""),
            }
        )
    verdicts = [verdict for verdict in _VERDICTS if any(value["verdict"] == verdict for value in values)]

    def build(width: int) -> alt.LayerChart:
        chart = alt.Chart(alt.Data(values=values))
        y = alt.Y("cell:N", sort=None, title=None, axis=alt.Axis(labelLimit=int(width * 0.4), ticks=False))
        lines = alt.Chart(
            alt.Data(values=[{"at": 0.0, "dash": "no change"}, {"at": -100 * tolerance, "dash": "tolerance"}])
        )
        rules = lines.mark_rule(color="var(--quiet)", aria=False).encode(
            x=alt.X("at:Q"), strokeDash=alt.StrokeDash("dash:N", legend=None, scale=alt.Scale(range=[[1, 0], [4, 4]]))
        )
        whiskers = chart.mark_rule(color="var(--ink)", aria=False).encode(
            x=alt.X("low:Q", title="change of accuracy, percentage points"), x2="high:Q", y=y
        )
        marks = chart.mark_point(filled=True, size=100, opacity=1).encode(
            x="delta:Q",
            y=y,
            color=alt.Color(
                "verdict:N",
                legend=alt.Legend(title=None),
                scale=alt.Scale(domain=verdicts, range=[_VERDICTS[verdict][0] for verdict in verdicts]),
            ),
            shape=alt.Shape(
                "verdict:N", scale=alt.Scale(domain=verdicts, range=[_VERDICTS[verdict][1] for verdict in verdicts])
            ),
            description="description:N",
        )
        return alt.layer(rules, whiskers, marks).properties(width=int(width * 0.56), height=alt.Step(24))

    caption = f"From at worst to at best; the dashed line is the tolerance, {100 * tolerance:g} points."
    return draw("Change of accuracy", caption + _omitted(most_changed, compared), build)


def training_charts(cells: Sequence[CellAnalysis]) -> list[Figure]:
    """Return charts of loss and accuracy after each epoch, for the cells that were trained in two or more epochs."""
    import altair as alt

    trained = [cell for cell in cells if len(cell.epochs) > 1]
    first_cells = trained[: len(COLOURS)]
    names = [cell.name for cell in first_cells]
    rows: list[dict[str, Any]] = [
        {"cell": cell.name, "epoch": epoch.number, "quantity": quantity, "value": value}
        for cell in first_cells
        for epoch in cell.epochs
        for quantity, value in (
            ("training loss", epoch.train_loss),
            ("evaluation loss", epoch.eval_loss),
            ("accuracy", 100 * epoch.eval_accuracy),
        )
        if math.isfinite(value)
    ]

    def figure(title: str, axis: str, kinds: Sequence[str]) -> Figure:
        values = [
            {**row, "description": f"{row['cell']}, epoch {row['epoch']}: {row['quantity']} {row['value']:.4g}"}
            for row in rows
            if row["quantity"] in kinds
        ]
        last = max(row["epoch"] for row in values)

        def build(width: int) -> alt.LayerChart:
            chart = alt.Chart(alt.Data(values=values))
            x = alt.X(
                "epoch:Q",
                title="epoch",
                axis=alt.Axis(values=list(range(1, last + 1)), format="d"),
                scale=alt.Scale(nice=False, padding=20, zero=False),
            )
            y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
            dash = alt.StrokeDash(
                "quantity:N",
                legend=alt.Legend(title=None) if len(kinds) > 1 else None,
                scale=alt.Scale(domain=list(kinds), range=DASHES[:2]),
            )
            lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("cell", names), strokeDash=dash)
            return alt.layer(lines, marks(chart, x, y, "cell", names, size=60)).properties(width=width - 90, height=220)

        caption = "After each epoch, the mean over the seeds." + _omitted(first_cells, trained)
        return draw(title, caption, build)

    if not first_cells:
        return []
    return [
        figure("Loss while training", "loss", ("training loss", "evaluation loss")),
        figure("Accuracy while training", "accuracy, %", ("accuracy",)),
    ]


def _largest(cells: Sequence[Any], key: Callable[[Any], float]) -> list[Any]:
    """Return the ``MOST_ROWS`` cells with the largest key, in the given order."""
    kept = sorted(range(len(cells)), key=lambda index: -key(cells[index]))[:MOST_ROWS]
    return [cells[index] for index in sorted(kept)]


def _omitted(drawn: Sequence[object], cells: Sequence[object]) -> str:
    return "" if len(drawn) == len(cells) else f" {len(drawn)} of {len(cells)} cells are drawn; the table has all."


def _is_cached(cell: CellAnalysis) -> bool:
    return any(phase.cached for record in cell.records for phase in record.phases)


def _total_seconds(cell: CellAnalysis) -> float | None:
    """Return the total time of a cell, the median over the seeds; None if a phase was cached or none was recorded."""
    if _is_cached(cell):
        return None
    return statistics.median([sum(phase.seconds for phase in record.phases) for record in cell.records]) or None
