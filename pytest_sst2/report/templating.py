"""Fill in a template; escape all values except our own style and script."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from pytest_sst2.utils.sanitize import one_line

_TEMPLATES = Path(__file__).parent / "templates"


def page(template: str, **values: Any) -> str:
    """Return a self-contained HTML document, whose Content-Security-Policy forbids any network access.

    ``template`` is a file name in ``templates``. Every text of ``values``, its variables, is escaped.
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
        finalize=_sanitized,
    )
    # For the Content-Security-Policy, so that a browser runs no other script.
    digest = f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"
    return environment.get_template(template).render(**values, style=style, script=script, script_digest=digest)


def _sanitized(value: Any) -> Any:
    """Return a value of a template with control characters and secrets removed from text."""
    # Markup, which is our own files and drawings, is a subclass of str and stays as it is.
    return one_line(value) if type(value) is str else value
