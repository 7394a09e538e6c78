"""Draw the charts of one cell: accuracy by slice, and calibration."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.probability_calibration import Calibration
from pytest_sst2.report.svg import DASHES, Figure, colour, draw, marks

if TYPE_CHECKING:
    import altair as alt


def slice_chart(cell: CellAnalysis) -> Figure | None:
    """Return a chart of the accuracy of a cell on every slice, with intervals and the accuracy before; None without."""
    import altair as alt

    if not cell.slices:
        return None
    side = "after" if cell.is_compared else "now"
    current, previous = [], []
    for score in cell.slices:
        name = f"{score.name} ({score.examples:,})"
        before = f", before {100 * score.change.before:.1f} %" if score.change else ""
        current.append(
            {
                "slice": name,
                "side": side,
                "accuracy": 100 * score.accuracy,
                "low": 100 * score.interval.low,
                "high": 100 * score.interval.high,
                "description": f"{score.name}, {score.examples:,} sentences: {100 * score.accuracy:.1f} % "
                f"({100 * score.interval.low:.1f} to {100 * score.interval.high:.1f}){before}",
            }
        )
        if score.change:
            previous.append({"slice": name, "side": "before", "accuracy": 100 * score.change.before})
    sides = ["before", side] if previous else [side]

    def build(width: int) -> alt.LayerChart:
        x = alt.X("accuracy:Q", title="accuracy, %", scale=alt.Scale(zero=False))
        y = alt.Y("slice:N", sort=None, title=None, axis=alt.Axis(labelLimit=int(width * 0.45), ticks=False))
        chart = alt.Chart(alt.Data(values=current))
        whiskers = chart.mark_rule(color="var(--quiet)", aria=False).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
        shape = alt.Shape("side:N", scale=alt.Scale(domain=sides, range=["diamond", "circle"][-len(sides) :]))
        points = chart.mark_point(filled=True, size=80, opacity=1).encode(
            x=x, y=y, color=colour("side", sides), shape=shape, description="description:N"
        )
        layers = [whiskers, points]
        if previous:
            old = alt.Chart(alt.Data(values=previous)).mark_point(filled=False, size=60, strokeWidth=2, aria=False)
            layers.insert(1, old.encode(x=x, y=y, color=colour("side", sides), shape=shape))
        return alt.layer(*layers).properties(width=int(width * 0.56), height=alt.Step(22))

    caption = "By kind of sentence, with their number in brackets. Each 95 % interval is for one slice alone."
    return draw(f"Accuracy by slice of {cell.name}", caption, build)


def calibration_chart(cell: CellAnalysis) -> Figure | None:
    """Return the calibration curve of a cell, before and after; None without any."""
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
            "confidence": 100 * bin_.confidence,
            "accuracy": 100 * bin_.accuracy,
            "description": f"{side}: of {bin_.examples:,} predictions with confidence {100 * bin_.low:.0f} to "
            f"{100 * bin_.high:.0f} %, {100 * bin_.accuracy:.1f} % are right (mean confidence "
            f"{100 * bin_.confidence:.1f} %)",
        }
        for side, curve in curves
        for bin_ in curve.bins
    ]
    sides = [side for side, _ in curves]
    lowest = min([50, *(math.floor(100 * bin_.confidence) for _, curve in curves for bin_ in curve.bins)])

    def build(width: int) -> alt.LayerChart:
        x = alt.X("confidence:Q", title="confidence of the prediction, %", scale=alt.Scale(domain=[lowest, 100]))
        y = alt.Y("accuracy:Q", title="accuracy, %", scale=alt.Scale(domain=[0, 100]))
        ideal = (
            alt.Chart(alt.Data(values=[{"confidence": 50, "accuracy": 50}, {"confidence": 100, "accuracy": 100}]))
            .mark_line(color="var(--quiet)", strokeDash=[4, 4], aria=False)
            .encode(x=x, y=y)
        )
        chart = alt.Chart(alt.Data(values=values))
        dash = alt.StrokeDash("side:N", legend=None, scale=alt.Scale(domain=sides, range=DASHES[: len(sides)][::-1]))
        lines = chart.mark_line(aria=False).encode(x=x, y=y, color=colour("side", sides), strokeDash=dash)
        points = marks(chart, x, y, "side", sides, size=60)
        return alt.layer(ideal, lines, points).properties(width=min(width, 420) - 90, height=240)

    errors = ", ".join(f"{side} {100 * curve.error:.1f}" for side, curve in curves)
    return draw(
        f"Calibration of {cell.name}",
        "On the dashed line the classifier is right as often as its confidence claims. Expected calibration error, "
        f"percentage points: {errors}.",
        build,
    )
