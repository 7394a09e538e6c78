"""Place values on a common scale for the bars and lines of a page; the templates draw them as SVG without text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Part of the width that stays free at both ends, in percent.
_MARGIN = 4.0


@dataclass(frozen=True)
class Scale:
    """A scale from ``low`` to ``high``; values beyond an end are drawn at this end, as arrows."""

    low: float
    high: float

    def place(self, value: float) -> float:
        """Return the place of a value in percent of the width."""
        span = self.high - self.low
        part = (value - self.low) / span if span > 0 else 0.5
        return round(_MARGIN + (100 - 2 * _MARGIN) * min(max(part, 0.0), 1.0), 2)

    def beyond(self, value: float) -> str:
        """Return ``left`` or ``right`` if the value is beyond that end, else an empty text."""
        return "left" if value < self.low else "right" if value > self.high else ""


@dataclass(frozen=True)
class Bar:
    """A value with its range and reference lines on a scale, all in percent of the width.

    Attributes:
        beyond: ``left`` or ``right`` if the value is beyond the scale.
        lines: Places and kinds (a class of the style sheet) of the reference lines.
        label: The same in words.
    """

    low: float
    value: float
    high: float
    beyond: str
    lines: tuple[tuple[float, str], ...]
    label: str


def bar(scale: Scale, values: tuple[float, float, float], lines: Sequence[tuple[float, str]], label: str) -> Bar:
    """Return the bar of a low, a middle and a high value, with reference lines (value, kind) on the same scale."""
    low, value, high = map(scale.place, values)
    places = tuple((scale.place(at), kind) for at, kind in lines)
    return Bar(low, value, high, scale.beyond(values[1]), places, label)


@dataclass(frozen=True)
class Line:
    """A line over some points of time: x in percent of the width, y in percent of the height, and a label each."""

    points: tuple[tuple[float, float, str], ...]
    label: str


def line(values: Sequence[float], labels: Sequence[str], label: str) -> Line | None:
    """Return the line of some values at equal distances; None if they do not differ, because that is no course."""
    if len(set(values)) < 2:
        return None
    across, up = Scale(0, len(values) - 1), Scale(min(values), max(values))
    points = [
        (across.place(index), round(90 - 0.8 * up.place(value), 2), text)
        for index, (value, text) in enumerate(zip(values, labels, strict=True))
    ]
    return Line(tuple(points), label)
