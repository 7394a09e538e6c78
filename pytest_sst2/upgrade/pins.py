"""Pins: which version of which package, read from lock files and from this environment, and how two sets differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_sst2.utils.errors import Sst2Error

Pins = Mapping[str, str]
"""From the canonical name of a package to its version."""

OURS = "pytest-sst2"
# What installs is not what is installed: an environment has its own.
_TOOLS = frozenset(("pip", "setuptools", "wheel", "uv", "distribute"))


@dataclass(frozen=True)
class Change:
    """A package that differs: None where one of the two does not have it."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after} (new)"
        if self.after is None:
            return f"{self.name} {self.before} (gone)"
        return f"{self.name} {self.before} → {self.after}"


def changes_between(before: Pins, after: Pins) -> tuple[Change, ...]:
    """Return the packages in which two sets of pins differ, by name."""
    names = sorted({*before, *after} - {OURS})
    return tuple(
        Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def lines_of(pins: Pins) -> list[str]:
    """Return pins as the lines of a requirements file, by name."""
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def read_pins(path: Path) -> dict[str, str]:
    """Return the pins of a lock file: lines of ``name==version``, with markers, hashes and comments as pip has them.

    Lines whose marker does not hold here are left out, as are those that set options of pip, and this package's own.
    The label of a build (``2.13.0+cpu``) stays: without it an installer may take another build of the same version.

    Raises:
        Sst2Error: The file cannot be read, or a line pins nothing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise Sst2Error(f"{str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    found: dict[str, str] = {}
    for number, line in _logical_lines(text):
        requirement = _requirement(line, f"{path}, line {number}")
        if canonicalize_name(requirement.name) in (*_TOOLS, OURS):  # both environments have their own
            continue
        version = pinned_version(requirement)
        if version is None:
            raise Sst2Error(
                f"{path}, line {number}: {line!r} pins no version. Lines of 'name==version' do; "
                "`uv pip compile` and `pip freeze` write such a file."
            )
        if requirement.marker is None or requirement.marker.evaluate():
            found[canonicalize_name(requirement.name)] = version
    if not found:
        raise Sst2Error(f"{str(path)!r} pins nothing.")
    return found


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Yield the requirements in a text with the numbers of their lines: continued lines joined, the rest left out."""
    parts: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        parts.append(raw.removesuffix("\\"))
        if raw.endswith("\\"):
            continue
        line = " ".join(parts)
        parts = []
        # As pip has it: a comment begins after white space, options such as --hash follow the requirement.
        line = f" {line}".partition(" #")[0].partition(" --")[0].strip()
        if line and not line.startswith("-"):
            yield number, line


def read_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Return requirements as typed on a command line.

    Raises:
        Sst2Error: One is not as PEP 508 has it, is our own package, or is named twice.
    """
    found = [_requirement(text, "requirement") for text in texts]
    names = [canonicalize_name(each.name) for each in found]
    if OURS in names:
        raise Sst2Error(f"{OURS} itself is the same in both environments, so that what differs is the libraries.")
    if addressed := [str(each) for each in found if each.url]:
        raise Sst2Error(
            f"{addressed[0]!r} names an address, and the two environments are told apart by versions. Build a wheel of "
            "it into a folder, have PIP_FIND_LINKS name that folder, and ask for the wheel's version."
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise Sst2Error(f"{twice[0]} is named twice; put both bounds into one requirement: '{twice[0]}>=1,<2'.")
    return found


def _requirement(text: str, where: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise Sst2Error(
            f"{where}: {text!r} is no requirement ({reason}). Such as: 'transformers==5.23.0', 'torch>=2.13'."
        ) from error


def pinned_version(requirement: Requirement) -> str | None:
    """Return the version that a requirement pins, None where it leaves a choice or names an address."""
    specifiers = list(requirement.specifier)
    if requirement.url or len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    version = specifiers[0].version
    return version if version and not version.endswith(".*") else None  # "===" may have nothing after it


def installed_pins() -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the pins of this environment, and the names of what no index can be asked for.

    Those are packages installed from a folder or a repository, and what installs. A version's label of its build
    (``2.13.0+cpu``) is left aside: it says which index it came from, and the pin would ask any other in vain.
    """
    found: dict[str, str] = {}
    local: list[str] = []
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"] or "")
        if not name or name in (*_TOOLS, OURS) or name in found or name in local:
            continue
        if _is_local(distribution):
            local.append(name)
        else:
            found[name] = public_version(distribution.version)
    return found, tuple(sorted(local))


def public_version(text: str) -> str:
    """Return a version without the label of its build; as it stands where it is no version at all."""
    try:
        return Version(text).public
    except InvalidVersion:
        return text


def _is_local(distribution: metadata.Distribution) -> bool:
    """Tell whether a package was installed from a folder or a repository, which have no version on an index."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return False
    try:
        return not json.loads(text).keys().isdisjoint(("dir_info", "vcs_info"))
    except (ValueError, AttributeError):
        return True
