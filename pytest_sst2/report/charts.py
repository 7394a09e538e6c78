"""Charts of a report: accuracy against time, changes, training, slices, calibration, history."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_sst2.compare.significance import wilson_interval
from pytest_sst2.report.cells import Calibration, CellReport
from pytest_sst2.report.svg import COLOURS, DASHES, SHAPES, Figure, colour, cycled, drawn, legend
from pytest_sst2.results.record import Interval
from pytest_sst2.utils.formatting import shorten, signed_points

if TYPE_CHECKING:
    import altair as alt

# More would be a chart that nobody reads; the tables have them all.
MOST_ROWS = 40
MOST_POINTS = 200
_WHISKERS = "Upright lines are 95 % intervals of one classifier with the mean accuracy of the seeds."
_VERDICTS = {
    "improved": ("var(--good)", "triangle-up"),
    "unchanged": ("var(--quiet)", "circle"),
    "regressed": ("var(--bad)", "triangle-down"),
}


def time_charts(cells: Sequence[CellReport]) -> list[Figure]:
    """Return accuracy against the time of making a classifier, and against that of one answer.

    A cell of which a part was taken from the cache has no time to be drawn at; the caption names it.
    """
    found = []
    whole = [(cell, seconds) for cell in cells if (seconds := _whole_seconds(cell)) is not None]
    cached = [cell.name for cell in cells if _is_cached(cell)]
    if whole:
        caption = (
            "Loading, training and predicting, the median over the seeds. The line is the Pareto front: no cell is "
            f"both faster and more accurate. {_WHISKERS}"
        )
        if cached:
            caption += f" Not drawn, since a part of their work was taken from the cache: {shorten(cached, 10)}."
        found.append(_time_chart("Accuracy against the time of a classifier", caption, "seconds", whole))
    single = [
        (cell, 1000 * statistics.median([record.latency.p50_seconds for record in cell.records])) for cell in cells
    ]
    if single:
        caption = f"One sentence at a time, the median. The line is the Pareto front. {_WHISKERS}"
        found.append(_time_chart("Accuracy against the time of one answer", caption, "milliseconds", single))
    return found


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the points (cost, gain) that no other beats in one and equals in the other, by cost."""
    order = sorted(range(len(points)), key=lambda index: (points[index][0], -points[index][1]))
    front: list[int] = []
    for index in order:
        if not front or points[index][1] > points[front[-1]][1]:
            front.append(index)
    return front


def _time_chart(title: str, caption: str, unit: str, points: Sequence[tuple[CellReport, float]]) -> Figure:
    import altair as alt

    values: list[dict[str, Any]] = []
    drawn_points = _best(points)
    for cell, time in drawn_points:
        low, high = _interval(cell)
        values.append(
            {
                "cell": cell.name,
                "method": cell.records[0].method,
                "time": time,
                "accuracy": 100 * cell.accuracy,
                "low": 100 * low,
                "high": 100 * high,
                "says": f"{cell.name}: {100 * cell.accuracy:.2f} % ({100 * low:.1f} to {100 * high:.1f}), "
                f"{time:,.3g} {unit}",
            }
        )
    front = pareto_front([(each["time"], each["accuracy"]) for each in values])
    # Few cells have a colour each; of many, those of one method share theirs.
    field = "cell" if len(values) <= len(COLOURS) else "method"
    names = list(dict.fromkeys(each[field] for each in values))

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
        marks = chart.mark_point(filled=True, size=90, opacity=1).encode(
            x=x,
            y=y,
            color=colour(field, names),
            shape=alt.Shape(f"{field}:N", scale=alt.Scale(domain=names, range=cycled(SHAPES, names))),
            description="says:N",
        )
        return alt.layer(line, whiskers, marks).properties(width=width - 90, height=280)

    return drawn(title, caption + _only(drawn_points, points), build)


def _best(points: Sequence[tuple[CellReport, float]]) -> list[tuple[CellReport, float]]:
    """Return at most as many as a chart can show, in their own order: the Pareto front, then the most accurate."""
    front = set(pareto_front([(time, cell.accuracy) for cell, time in points]))
    ranked = sorted(range(len(points)), key=lambda index: (index not in front, -points[index][0].accuracy))
    return [points[index] for index in sorted(ranked[:MOST_POINTS])]


def forest_chart(cells: Sequence[CellReport], tolerance: float) -> Figure | None:
    """Return the change of accuracy of every compared cell with its interval, the most negative first."""
    import altair as alt

    compared = [(cell, cell.comparison.accuracy) for cell in cells if cell.comparison and cell.comparison.accuracy]
    if not compared:
        return None
    compared.sort(key=lambda each: each[1].delta)
    shown = _most_telling(compared, key=lambda each: abs(each[1].delta))
    values = []
    for cell, change in shown:
        assert cell.comparison is not None  # noqa: S101 - only those were taken
        causes = "; ".join(cell.comparison.causes)
        values.append(
            {
                "cell": cell.name,
                "delta": 100 * change.delta,
                "low": 100 * change.interval.low,
                "high": 100 * change.interval.high,
                "verdict": cell.comparison.verdict,
                "says": f"{cell.name}: {cell.comparison.verdict}, {signed_points(change.delta)} points "
                f"({signed_points(change.interval.low)} to {signed_points(change.interval.high)})"
                + (f"; {causes}" if causes else ""),
            }
        )
    verdicts = [each for each in _VERDICTS if any(value["verdict"] == each for value in values)]

    def build(width: int) -> alt.LayerChart:
        chart = alt.Chart(alt.Data(values=values))
        y = alt.Y("cell:N", sort=None, title=None, axis=alt.Axis(labelLimit=int(width * 0.4), ticks=False))
        lines = alt.Chart(
            alt.Data(values=[{"at": 0.0, "dash": "no change"}, {"at": -100 * tolerance, "dash": "tolerance"}])
        )
        rules = lines.mark_rule(color="var(--quiet)", aria=False).encode(
            x=alt.X("at:Q"),
            strokeDash=alt.StrokeDash("dash:N", legend=None, scale=alt.Scale(range=[[1, 0], [4, 4]])),
        )
        whiskers = chart.mark_rule(color="var(--ink)", aria=False).encode(
            x=alt.X("low:Q", title="change of accuracy, percentage points"), x2="high:Q", y=y
        )
        marks = chart.mark_point(filled=True, size=100, opacity=1).encode(
            x="delta:Q",
            y=y,
            color=alt.Color(
                "verdict:N",
                legend=legend(),
                scale=alt.Scale(domain=verdicts, range=[_VERDICTS[v][0] for v in verdicts]),
            ),
            shape=alt.Shape("verdict:N", scale=alt.Scale(domain=verdicts, range=[_VERDICTS[v][1] for v in verdicts])),
            description="says:N",
        )
        return alt.layer(rules, whiskers, marks).properties(width=int(width * 0.56), height=alt.Step(24))

    caption = f"95 % intervals; the dashed line is the tolerance, {100 * tolerance:g} points." + _only(shown, compared)
    return drawn("Change of accuracy", caption, build)


def training_charts(cells: Sequence[CellReport]) -> list[Figure]:
    """Return the loss and the accuracy after each epoch, of the cells that are trained in two or more."""
    import altair as alt

    trained = [cell for cell in cells if len(cell.epochs) > 1]
    shown = trained[: len(COLOURS)]
    names = [cell.name for cell in shown]
    rows: list[dict[str, Any]] = [
        {"cell": cell.name, "epoch": epoch.number, "what": what, "value": value}
        for cell in shown
        for epoch in cell.epochs
        for what, value in (
            ("training loss", epoch.train_loss),
            ("evaluation loss", epoch.eval_loss),
            ("accuracy", 100 * epoch.eval_accuracy),
        )
        if math.isfinite(value)
    ]

    def figure(title: str, axis: str, kinds: Sequence[str]) -> Figure:
        values = [
            {**row, "says": f"{row['cell']}, epoch {row['epoch']}: {row['what']} {row['value']:.4g}"}
            for row in rows
            if row["what"] in kinds
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
                "what:N",
                legend=legend() if len(kinds) > 1 else None,
                scale=alt.Scale(domain=list(kinds), range=DASHES[:2]),
            )
            lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("cell", names), strokeDash=dash)
            marks = chart.mark_point(filled=True, size=60, opacity=1).encode(
                x=x,
                y=y,
                color=colour("cell", names),
                shape=alt.Shape("cell:N", scale=alt.Scale(domain=names, range=SHAPES[: len(names)])),
                description="says:N",
            )
            return alt.layer(lines, marks).properties(width=width - 90, height=220)

        caption = "After each epoch; the mean over the seeds." + _only(shown, trained)
        return drawn(title, caption, build)

    if not shown:
        return []
    return [
        figure("Loss while training", "loss", ("training loss", "evaluation loss")),
        figure("Accuracy while training", "accuracy, %", ("accuracy",)),
    ]


def slice_chart(cell: CellReport) -> Figure | None:
    """Return the accuracy of a cell on every slice, with its interval, and what it was before."""
    import altair as alt

    if not cell.slices:
        return None
    side = "after" if cell.is_compared else "now"
    now, then = [], []
    for score in cell.slices:
        name = f"{score.name} ({score.examples:,})"
        before = f", before {100 * score.change.before:.1f} %" if score.change else ""
        now.append(
            {
                "slice": name,
                "side": side,
                "accuracy": 100 * score.accuracy,
                "low": 100 * score.interval.low,
                "high": 100 * score.interval.high,
                "says": f"{score.name}, {score.examples:,} sentences: {100 * score.accuracy:.1f} % "
                f"({100 * score.interval.low:.1f} to {100 * score.interval.high:.1f}){before}",
            }
        )
        if score.change:
            then.append({"slice": name, "side": "before", "accuracy": 100 * score.change.before})
    sides = ["before", side] if then else [side]

    def build(width: int) -> alt.LayerChart:
        x = alt.X("accuracy:Q", title="accuracy, %", scale=alt.Scale(zero=False))
        y = alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=int(width * 0.45), ticks=False))
        chart = alt.Chart(alt.Data(values=now))
        whiskers = chart.mark_rule(color="var(--quiet)", aria=False).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
        shape = alt.Shape("side:N", scale=alt.Scale(domain=sides, range=["diamond", "circle"][-len(sides) :]))
        marks = chart.mark_point(filled=True, size=80, opacity=1).encode(
            x=x, y=y, color=colour("side", sides), shape=shape, description="says:N"
        )
        layers = [whiskers, marks]
        if then:
            old = alt.Chart(alt.Data(values=then)).mark_point(filled=False, size=60, strokeWidth=2, aria=False)
            layers.insert(1, old.encode(x=x, y=y, color=colour("side", sides), shape=shape))
        return alt.layer(*layers).properties(width=int(width * 0.56), height=alt.Step(22))

    caption = "By kind of sentence; in brackets how many there are. 95 % intervals of each alone."
    return drawn(f"Accuracy by slice of {cell.name}", caption, build)


def reliability_chart(cell: CellReport) -> Figure | None:
    """Return the reliability curve of a cell, before and after."""
    import altair as alt

    curves: list[tuple[str, Calibration]] = []
    if cell.calibration_before is not None:
        curves.append(("before", cell.calibration_before))
    if cell.calibration is not None:
        curves.append(("after" if curves else "now", cell.calibration))
    if not curves:
        return None
    values = [
        {
            "side": side,
            "confidence": 100 * each.confidence,
            "accuracy": 100 * each.accuracy,
            "says": f"{side}: of {each.examples:,} answers with confidence {100 * each.low:.0f} to "
            f"{100 * each.high:.0f} %, {100 * each.accuracy:.1f} % are right (said: {100 * each.confidence:.1f} %)",
        }
        for side, curve in curves
        for each in curve.bins
    ]
    sides = [side for side, _ in curves]
    least = min([50, *(math.floor(100 * each.confidence) for _, curve in curves for each in curve.bins)])

    def build(width: int) -> alt.LayerChart:
        scale = alt.Scale(domain=[0, 100])
        x = alt.X("confidence:Q", title="confidence of the answer, %", scale=alt.Scale(domain=[least, 100]))
        y = alt.Y("accuracy:Q", title="of these right, %", scale=scale)
        ideal = (
            alt.Chart(alt.Data(values=[{"confidence": 50, "accuracy": 50}, {"confidence": 100, "accuracy": 100}]))
            .mark_line(color="var(--quiet)", strokeDash=[4, 4], aria=False)
            .encode(x=x, y=y)
        )
        chart = alt.Chart(alt.Data(values=values))
        dash = alt.StrokeDash("side:N", legend=None, scale=alt.Scale(domain=sides, range=DASHES[: len(sides)][::-1]))
        lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("side", sides), strokeDash=dash)
        marks = chart.mark_point(filled=True, size=60, opacity=1).encode(
            x=x,
            y=y,
            color=colour("side", sides),
            shape=alt.Shape("side:N", scale=alt.Scale(domain=sides, range=SHAPES[: len(sides)])),
            description="says:N",
        )
        return alt.layer(ideal, lines, marks).properties(width=min(width, 420) - 90, height=240)

    errors = ", ".join(f"{side} {100 * curve.error:.1f}" for side, curve in curves)
    return drawn(
        f"Calibration of {cell.name}",
        f"On the dashed line it is right as often as it says. Expected calibration error in points: {errors}.",
        build,
    )


def history_chart(
    title: str, axis: str, values: Sequence[dict[str, Any]], baselines: Sequence[str], caption: str
) -> Figure:
    """Return a quantity over the saved baselines.

    Args:
        title: Of the figure.
        axis: What is drawn, with its unit.
        values: Each with ``baseline``, ``cell``, ``value`` and ``says``.
        baselines: All of them, in order.
        caption: What must be known of it.
    """
    import altair as alt

    names = list(dict.fromkeys(each["cell"] for each in values))
    placed = [{**each, "at": baselines.index(each["baseline"])} for each in values]

    def build(width: int) -> alt.LayerChart:
        chart = alt.Chart(alt.Data(values=placed))
        x = alt.X(
            "baseline:N",
            title=None,
            axis=alt.Axis(labelAngle=-40, labelLimit=110),
            scale=alt.Scale(domain=list(baselines)),
        )
        number = alt.Order("at:Q")
        y = alt.Y("value:Q", title=axis, scale=alt.Scale(zero=False))
        dash = alt.StrokeDash("cell:N", legend=None, scale=alt.Scale(domain=names, range=cycled(DASHES, names)))
        lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("cell", names), strokeDash=dash, order=number)
        marks = chart.mark_point(filled=True, size=70, opacity=1).encode(
            x=x,
            y=y,
            color=colour("cell", names),
            shape=alt.Shape("cell:N", scale=alt.Scale(domain=names, range=cycled(SHAPES, names))),
            description="says:N",
        )
        return alt.layer(lines, marks).properties(width=width - 90, height=260)

    return drawn(title, caption, build)


def _most_telling(cells: Sequence[Any], key: Callable[[Any], float]) -> list[Any]:
    """Return at most as many as a chart can show, in their own order."""
    kept = sorted(range(len(cells)), key=lambda index: -key(cells[index]))[:MOST_ROWS]
    return [cells[index] for index in sorted(kept)]


def _only(shown: Sequence[object], there: Sequence[object]) -> str:
    return "" if len(shown) == len(there) else f" {len(shown)} of {len(there)} cells are drawn; the table has all."


def _interval(cell: CellReport) -> Interval:
    """Return the interval of one classifier of the cell's mean accuracy."""
    total = cell.records[0].total
    return wilson_interval(round(cell.accuracy * total), total)


def _is_cached(cell: CellReport) -> bool:
    return any(phase.cached for record in cell.records for phase in record.phases)


def _whole_seconds(cell: CellReport) -> float | None:
    """Return what making and asking a classifier took; None where a part was cached or no phase was kept."""
    if _is_cached(cell):
        return None
    return statistics.median([sum(phase.seconds for phase in record.phases) for record in cell.records]) or None
