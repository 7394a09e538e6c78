"""Sphinx: the documentation as a site. ``tox run -e docs`` builds it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

project = "pytest-sst2"
author = "the authors of pytest-sst2"
release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_parser"]
# Headings can be linked to by the names that GitHub gives them, in the sources as on the site.
myst_heading_anchors = 3
# A fence without a language is what a terminal shows.
highlight_language = "text"

html_theme = "furo"
html_title = f"pytest-sst2 {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

# The side bar. It stands here and not in index.md, where GitHub would show it as code.
CONTENTS = {
    "Use it": ("quickstart", "ci", "upgrades", "model-lock", "extend", "scale"),
    "Look it up": ("reference", "troubleshooting"),
    "What it rests on": ("verdict", "verdicts", "results", "performance", "homework"),
    "Behind it": ("reliability", "security", "architecture"),
}


def setup(app: Any) -> None:
    """Have the side bar put below the first page."""
    app.connect("source-read", _add_contents)


def _add_contents(_app: Any, page: str, source: list[str]) -> None:
    if page == "index":
        for caption, pages in CONTENTS.items():
            there = [name for name in pages if (Path(__file__).parent / f"{name}.md").exists()]
            source[0] += "\n".join(["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *there, "```", ""])
