"""Drawing: an Altair chart as SVG that stands in a page, drawn once for a wide page and once for a narrow one.

Colours are CSS variables of the page, so that one drawing serves light and dark; whatever has a colour has a shape or a
dash of its own too. Every mark that stands for a value has a description, which the page shows as its tooltip.
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
# Of one text in a drawing, which has no room for more.
MOST_CHARACTERS = 500
COLOURS = [f"var(--series-{number})" for number in range(1, 9)]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3], [10, 4], [3, 1]]
_NUMBERS = frozenset(("d", "transform", "x2", "y2"))
_SVG = "http://www.w3.org/2000/svg"


@dataclass(frozen=True)
class Figure:
    """A drawn chart: SVG for a wide and for a narrow page, its title and what it says in words."""

    title: str
    caption: str
    wide: str
    narrow: str


def check_available() -> None:
    """Refuse, before any work is done, what cannot be drawn in the end.

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


def drawn(title: str, caption: str, build: Callable[[int], alt.LayerChart]) -> Figure:
    """Return a figure: what ``build`` returns for the width of a wide page and of a narrow one."""
    return Figure(title, caption, *(_svg(build(width), title) for width in (WIDE, NARROW)))


def _svg(chart: alt.LayerChart, title: str) -> str:
    """Return the SVG of a chart, fit to stand in a page: it takes the page's width, and its marks can be pointed at."""
    import vl_convert

    dressed = (
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
    root = ET.fromstring(vl_convert.vegalite_to_svg(_shown(dressed.to_dict())))  # noqa: S314 - our own plotting library's  # nosec B314
    # No wider than it was drawn, so that letters are of one size in all charts.
    root.set("style", f"max-width:{root.attrib['width']}px")
    for name in ("width", "height", "version", "class"):
        root.attrib.pop(name, None)
    root.set("role", "group")
    root.set("aria-label", one_line(title, MOST_CHARACTERS))
    for element in root.iter():
        _cleaned(element)
    return ET.tostring(root, encoding="unicode")


def _shown(tree: Any) -> Any:
    """Return a specification with every text in it as it may be shown."""
    if isinstance(tree, dict):
        return {name: _shown(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_shown(value) for value in tree]
    return one_line(tree, MOST_CHARACTERS) if isinstance(tree, str) else tree


def _cleaned(element: ET.Element) -> None:
    """Take from an element what the page does not need, and mark what stands for a value."""
    for name in _NUMBERS.intersection(element.attrib):
        # A hundredth of a pixel is enough.
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
    """Return the colours of a field's values, with a legend where there are several."""
    import altair as alt

    return alt.Color(
        f"{field}:N",
        legend=legend() if len(domain) > 1 else None,
        scale=alt.Scale(domain=list(domain), range=cycled(COLOURS, domain)),
    )


def legend() -> alt.Legend:
    """Return a legend without a title."""
    import altair as alt

    return alt.Legend(title=None)


def cycled(values: Sequence[Any], domain: Sequence[str]) -> list[Any]:
    """Return one of the values for each of a domain, from the front again where they run out.

    Shapes and dashes are one further in each turn, so that no two of a domain share both these and the colour before
    there are as many as shapes times colours.
    """
    step = 0 if values is COLOURS else 1
    return [values[(index + step * (index // len(values))) % len(values)] for index in range(len(domain))]
