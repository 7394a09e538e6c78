"""Versions of packages: read from lock files, requirements and this environment, and compared."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.extras import DISTRIBUTION, INSTALLERS
from pytest_sst2.utils.safe_read import read_text

Pins = Mapping[str, str]
"""From the canonical name of a package to its version."""

# Options of a requirements file that name what is installed.
_INSTALLING = ("-e", "--editable", "-r", "--requirement")


@dataclass(frozen=True)
class LockFile:
    """What a lock file, or another list of packages, pins here.

    Attributes:
        pins: The packages that an index has.
        left_out: Names of packages without a version of an index, because they come from a folder, a repository or an
            address.
        notes: Sentences about where the list was read from.
    """

    pins: Pins
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VersionChange:
    """A package whose version differs between two environments; None if one of them does not have it."""

    name: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.name} {self.after} (new)"
        if self.after is None:
            return f"{self.name} {self.before} (gone)"
        return f"{self.name} {self.before} → {self.after}"


def changes_between(before: Pins, after: Pins) -> tuple[VersionChange, ...]:
    """Return the packages that differ between two sets of pins, sorted by name."""
    names = sorted({*before, *after} - {DISTRIBUTION})
    return tuple(
        VersionChange(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)
    )


def pin_lines(pins: Pins) -> list[str]:
    """Return pins as the lines of a requirements file, sorted by name."""
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


def read_pins(path: Path) -> Pins:
    """Return the pins of a file with lines of ``name==version``; raises as ``lock_of_lines``."""
    return lock_of_lines(read_text(path), str(path)).pins


def lock_of_lines(text: str, name: str) -> LockFile:
    """Return what lines of ``name==version`` pin, with markers, hashes and comments as in pip.

    Options of pip, this package, installers, and lines whose marker excludes this environment are skipped. A build
    label (``2.13.0+cpu``) is kept, because without it uv may install another build of the same version.

    Args:
        text: The lines.
        name: What errors call them.

    Raises:
        Sst2Error: There are no pins, or a line is no requirement, pins no version, or names another file.
    """
    pins: dict[str, str] = {}
    left_out: list[str] = []
    for number, line in _logical_lines(text):
        where = f"{name}, line {number}"
        if (address := _address_of(line, where)) is not None:
            left_out.append(address)
            continue
        requirement = _parse_requirement(line, where, _OTHER_FORMATS)
        if is_installer(requirement.name) or (requirement.marker and not requirement.marker.evaluate()):
            continue
        if requirement.url:
            left_out.append(canonicalize_name(requirement.name))
            continue
        version = pinned_version(requirement)
        if version is None:
            raise Sst2Error(
                f"{where}: {line!r} pins no version. Write lines of 'name==version', as `uv pip compile` and "
                "`pip freeze` do."
            )
        if pins.setdefault(canonicalize_name(requirement.name), version) != version:
            raise Sst2Error(f"{where}: {line!r} pins {requirement.name} a second time, with another version.")
    if not pins:
        raise Sst2Error(f"{name!r} pins no package. Write lines of 'name==version', as `pip freeze` does.")
    return LockFile(pins, tuple(sorted(set(left_out))))


_OTHER_FORMATS = (
    "A file of pins has lines of 'name==version', or is a lock file of uv, Poetry, PDM, Pipenv or PEP 751. Of other "
    "environments, such as conda's, write one: `python -m pip list --format=freeze`."
)


def _address_of(line: str, where: str) -> str | None:
    """Return the name of the folder, file or repository that a line installs, or its ``#egg=``; None if it names none.

    The rest of an address may hold a password.

    Raises:
        Sst2Error: The line includes another file.
    """
    option, _, value = line.partition(" ") if " " in line else line.partition("=")
    if option in ("-r", "--requirement") or line.startswith("-r"):
        raise Sst2Error(
            f"{where}: {line!r} names another file, which is not read. Write all lines into one file: "
            "`uv pip compile FILE -o all.txt`."
        )
    if option in ("-e", "--editable"):
        line = value.strip()
    elif line.startswith("-") or " @ " in line or not (line.startswith((".", "/")) or "://" in line):
        return None
    address, _, egg = line.partition("#egg=")
    address = re.split(r"[?#]", address)[0]
    return egg or address.rstrip("/").rpartition("/")[2] or address


def is_installer(name: str) -> bool:
    """Return whether a package is an installer, of which each environment has its own, or this package."""
    return canonicalize_name(name) in (*INSTALLERS, DISTRIBUTION)


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Yield the requirements of a text with their line numbers; join continued lines, skip comments and other options.

    Options that install something, or that include another file, are no others.
    """
    parts: list[str] = []
    for number, raw in enumerate(text.splitlines(), 1):
        parts.append(raw.removesuffix("\\"))
        if raw.endswith("\\"):
            continue
        line = " ".join(parts)
        parts = []
        # As in pip, a comment starts after white space, and options such as --hash follow the requirement.
        line = f" {line}".partition(" #")[0].strip()
        line = line[:1] + line[1:].partition(" --")[0].rstrip()
        if line and (line.startswith(_INSTALLING) or not line.startswith("-")):
            yield number, line


def read_requirements(texts: Sequence[str]) -> list[Requirement]:
    """Return the requirements typed on a command line.

    Raises:
        Sst2Error: One is invalid (PEP 508), names this package, names an address, or is given twice.
    """
    requirements = [_parse_requirement(text, "requirement") for text in texts]
    names = [canonicalize_name(requirement.name) for requirement in requirements]
    if DISTRIBUTION in names:
        raise Sst2Error(
            f"{DISTRIBUTION} itself is the same in both environments, so that only the libraries differ. "
            "Name another package."
        )
    if with_address := [str(requirement) for requirement in requirements if requirement.url]:
        raise Sst2Error(
            f"{with_address[0]!r} names an address, but environments are compared by version. Build a wheel into a "
            "folder, set PIP_FIND_LINKS to that folder, and name the version of the wheel."
        )
    if repeated := [name for name in names if names.count(name) > 1]:
        raise Sst2Error(f"{repeated[0]} is named twice. Write both bounds as one requirement: '{repeated[0]}>=1,<2'.")
    return requirements


_VALID = "Valid ones are 'transformers==5.24.0' and 'torch>=2.13'."


def _parse_requirement(text: str, where: str, remedy: str = _VALID) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise Sst2Error(f"{where}: {text!r} is not a requirement ({reason}). {remedy}") from error


def pinned_version(requirement: Requirement) -> str | None:
    """Return the version that a requirement pins, None if it allows several or names an address."""
    specifiers = list(requirement.specifier)
    if requirement.url or len(specifiers) != 1 or specifiers[0].operator not in ("==", "==="):
        return None
    version = specifiers[0].version
    return version if version and not version.endswith(".*") else None  # "===" may be followed by nothing


def installed_pins() -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the pins of this environment, and the names of packages installed from a folder or a repository.

    The latter have no version on an index. Build labels (``2.13.0+cpu``) are removed, because an index other than the
    one they came from does not have them. Installers and this package are skipped.
    """
    pins: dict[str, str] = {}
    local: list[str] = []
    for distribution in metadata.distributions():
        name = canonicalize_name(distribution.metadata["Name"] or "")
        if not name or name in (*INSTALLERS, DISTRIBUTION) or name in pins or name in local:
            continue
        if _is_local(distribution):
            local.append(name)
        else:
            pins[name] = public_version(distribution.version)
    return pins, tuple(sorted(local))


def public_version(text: str) -> str:
    """Return a version without its build label; an invalid version is returned unchanged."""
    try:
        return Version(text).public
    except InvalidVersion:
        return text


def _is_local(distribution: metadata.Distribution) -> bool:
    """Return whether a package was installed from a folder or a repository."""
    text = distribution.read_text("direct_url.json")
    if text is None:
        return False
    try:
        return not json.loads(text).keys().isdisjoint(("dir_info", "vcs_info"))
    except (ValueError, AttributeError):
        return True
