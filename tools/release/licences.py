"""Write docs/licences.md: the licence of every package of the tested set, as each states it.

Run from the repository's root where the tested set is installed: python tools/release/licences.py. Packages
for other platforms are not listed.
"""

from __future__ import annotations

import importlib.metadata
from importlib.metadata import Distribution, PackageMetadata
from pathlib import Path

from pytest_sst2.upgrade.pins import read_pins
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "licences.md"
UNKNOWN = "unknown"
HEAD = """\
# Licences of what is installed

What the tested set consists of (`constraints.txt` and `requirements.lock`): each package with the licence that its own
metadata states, or the file that comes with it. pytest-sst2 itself is Apache-2.0. None of these is copied into it: pip
installs them from where they are published. Made by `tools/release/licences.py`.

| package | version | licence |
| --- | --- | --- |
"""
_LONGEST = 60


def licence_of(metadata: PackageMetadata) -> str:
    """Return what a package says of its licence: the SPDX expression, else the classifiers, else a short free text."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [str(line) for line in metadata.get_all("Classifier") or []]
    named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License :: ")]
    named = [name for name in named if name != "OSI Approved"]
    if named:
        return "; ".join(dict.fromkeys(named))
    text = str(metadata.get("License") or "").strip()
    first = text.splitlines()[0].strip() if text else ""
    return first if first and len(first) <= _LONGEST and first.upper() != "UNKNOWN" else UNKNOWN


def licence_in_file(about: Distribution) -> str:
    """Return the title of the licence that a package brings as a file, for one whose metadata name none."""
    for name in about.metadata.get_all("License-File") or []:
        text = about.read_text(f"licenses/{name}") or about.read_text(str(name)) or ""
        title = text.strip().partition("\n")[0].strip()
        if title.endswith("License"):
            return title
    return UNKNOWN


def table(pins: dict[str, str]) -> str:
    """Return the rows of the table, by name; a package of another version than pinned ends it with a sentence."""
    rows = []
    for name, version in sorted(pins.items()):
        try:
            about = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found = about.version.partition("+")[0]
        if found != version:
            raise Sst2Error(f"{name} {found} is installed, the tested set has {version}: install requirements.lock.")
        licence = licence_of(about.metadata)
        licence = licence_in_file(about) if licence == UNKNOWN else licence
        rows.append(f"| {name} | {version} | {licence.replace('|', '/')} |\n")
    return "".join(rows)


def main() -> None:
    """Write the page."""
    pins = {**read_pins(ROOT / "requirements.lock"), **read_pins(ROOT / "constraints.txt")}
    write_atomically(PAGE, HEAD + table(pins))


if __name__ == "__main__":
    main()
