"""Draw an Altair chart as SVG for an HTML page, once for a wide page and once for a narrow one.

Colours are CSS variables of the page, so that one drawing works in light and dark mode. Everything with a colour also
has a shape or dash pattern. Every mark that stands for a value has a description, which the page shows as its tooltip.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # nosec B405 - reads what our own plotting library wrote
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line

if TYPE_CHECKING:
    import altair as alt

WIDE, NARROW = 720, 340
# Limit of one text in a drawing.
MOST_CHARACTERS = 500
COLOURS = [f"var(--series-{number})" for number in range(1, 9)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 4], [3, 1]]
_NUMERIC_ATTRIBUTES = frozenset(("d", "transform", "x2", "y2"))
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Figure:
    """A drawn chart: its title, its caption, and SVG for a wide and a narrow page."""

    title: str
    caption: str
    wide: str
    narrow: str


def check_available() -> None:
    """Check before any work that charts can be drawn.

    Raises:
        Sst2Error: A plotting library is missing.
    """
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ImportError as error:
        raise Sst2Error(
            f"the report cannot be drawn ({error}). Run: python -m pip install 'pytest-sst2[report]'."
        ) from error


def draw(title: str, caption: str, build: Callable[[int], alt.LayerChart]) -> Figure:
    """Return the figure of a chart that ``build`` returns for a width in pixels."""
    return Figure(title, caption, *(_svg(build(width), title) for width in (WIDE, NARROW)))


def _svg(chart: alt.LayerChart, title: str) -> str:
    """Return the SVG of a chart: it scales with the page, and its marks can be focused."""
    import vl_convert

    styled = (
        chart.configure(background="transparent", font="system-ui, sans-serif")
        .configure_view(stroke="transparent")
        .configure_axis(
            labelColor="var(--ink)",
            titleColor="var(--ink)",
            titleFontWeight="normal",
            gridColor="var(--line)",
            domainColor="var(--quiet)",
            tickColor="var(--quiet)",
            labelFontSize=12,
            titleFontSize=12,
        )
        .configure_legend(
            labelColor="var(--ink)",
            titleColor="var(--ink)",
            labelFontSize=12,
            labelLimit=300,
            orient="bottom",
            columns=2,
        )
    )
    ET.register_namespace("", _SVG)
    root = ET.fromstring(vl_convert.vegalite_to_svg(_sanitized(styled.to_dict())))  # noqa: S314 - our own plotting library's  # nosec B314
    # No wider than drawn, so that text has the same size in all charts.
    root.set("style", f"max-width:{root.attrib['width']}px")
    for name in ("width", "height", "version", "class"):
        root.attrib.pop(name, None)
    root.set("role", "group")
    root.set("aria-label", one_line(title, MOST_CHARACTERS))
    for element in root.iter():
        _clean(element)
    return ET.tostring(root, encoding="unicode")


def _sanitized(tree: Any) -> Any:
    """Remove control characters and secrets from every text of a specification."""
    if isinstance(tree, dict):
        return {name: _sanitized(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_sanitized(value) for value in tree]
    return one_line(tree, MOST_CHARACTERS) if isinstance(tree, str) else tree


def _clean(element: ET.Element) -> None:
    """Remove the attributes of an element that the page does not need, and give marks of values a class."""
    for name in _NUMERIC_ATTRIBUTES.intersection(element.attrib):
        # Two decimals of a pixel are enough.
        element.set(name, re.sub(r"(\d+\.\d{2})\d+", r"\1", element.attrib[name]))
    role, description = element.attrib.get("aria-roledescription"), element.attrib.get("aria-label")
    if role in ("point", "symbol", "bar") and description and element.attrib.get("role") == "graphics-symbol":
        element.set("class", "mark")
        element.set("role", "img")
        element.attrib.pop("aria-roledescription")
        return
    for name in ("role", "aria-roledescription", "aria-label", "class", "pointer-events"):
        if element.attrib.get("role") != "group":
            element.attrib.pop(name, None)


def colour(field: str, domain: Sequence[str]) -> alt.Color:
    """Return the colour scale of a field, with a legend if it has several values."""
    import altair as alt

    return alt.Color(
        f"{field}:N",
        legend=alt.Legend(title=None) if len(domain) > 1 else None,
        scale=alt.Scale(domain=list(domain), range=cycled(COLOURS, domain)),
    )


def marks(chart: alt.Chart, x: alt.X, y: alt.Y, field: str, domain: Sequence[str], size: int) -> alt.Chart:
    """Return the points of a chart, each with its description, and a colour and a shape for each value of a field."""
    import altair as alt

    return chart.mark_point(filled=True, size=size, opacity=1).encode(
        x=x,
        y=y,
        color=colour(field, domain),
        shape=alt.Shape(f"{field}:N", scale=alt.Scale(domain=list(domain), range=cycled(SHAPES, domain))),
        description="description:N",
    )


def cycled(values: Sequence[Any], domain: Sequence[str]) -> list[Any]:
    """Return one value for each item of a domain; start again with the first if there are not enough.

    Shapes and dashes shift by one in each turn, so that colour and shape together are distinct for many items.
    """
    step = 0 if values is COLOURS else 1
    return [values[(index + step * (index // len(values))) % len(values)] for index in range(len(domain))]
