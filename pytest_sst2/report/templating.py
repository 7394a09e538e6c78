"""Pages: a template filled in, everything in it escaped but our own style, script and drawings."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from pytest_sst2.utils.sanitize import one_line

_TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, **values: Any) -> str:
    """Return an HTML document that holds all it needs: it asks no network, and its own policy forbids it to.

    Args:
        template: The file in ``templates``.
        values: What it shows; every text is escaped.
    """
    import jinja2
    import markupsafe

    style, script = (
        markupsafe.Markup((_TEMPLATES / name).read_text(encoding="utf-8"))  # noqa: S704 - our own files  # nosec B704
        for name in ("page.css", "page.js")
    )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
    )
    # Not escaped: drawings, in which the plotting library has escaped what is data, and two files beside this one.
    environment.filters["drawing"] = markupsafe.Markup
    return environment.get_template(template).render(
        **values, style=style, script=script, script_digest=_csp_digest(script)
    )


def _shown(value: Any) -> Any:
    """Return what is put into a page in the place of a value: text as it may leave the program."""
    # What is markup already, our own files and drawings, is a kind of text too.
    return one_line(value) if type(value) is str else value


def _csp_digest(script: str) -> str:
    """Return what a policy knows our script by, so that a browser runs no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
