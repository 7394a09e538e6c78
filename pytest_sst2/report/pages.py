"""Pages: a template filled in, everything in it escaped but our own style, script and drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_sst2.report.wording import printable

_TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, **values: Any) -> str:
    """Return an HTML document that holds all it needs: it asks no network, and its own policy forbids it to.

    Args:
        template: The file in ``templates``.
        values: What it shows; every text is escaped.
    """
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # Not escaped: drawings, in which the plotting library has escaped what is data, and two files beside this one.
    environment.filters["drawing"] = markupsafe.Markup
    style, script = (
        markupsafe.Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own files  # nosec B704
        for name in ("page.css", "page.js")
    )
    return printable(environment.get_template(template).render(**values, style=style, script=script))
