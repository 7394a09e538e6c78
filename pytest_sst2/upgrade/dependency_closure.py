"""Compute which version changes need each other, from the requirements of both environments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_sst2.upgrade.pins import Pins, VersionChange


@dataclass(frozen=True)
class InstalledPackages:
    """The packages of an environment, their requirements (PEP 508), and the values of environment markers."""

    pins: Pins
    requires: Mapping[str, Sequence[str]]
    markers: Mapping[str, str]


Closure = Callable[[frozenset[str]], frozenset[str]]
"""From the names of some changes to these and all changes they need."""


def dependency_closure(
    changes: Sequence[VersionChange], before: InstalledPackages, after: InstalledPackages
) -> Closure:
    """Return the function that completes a set of changes, so that all requirements stay satisfied.

    A change needs another if its later version excludes the other's earlier version, or if its later version is
    excluded by the other's earlier version. Each need follows from a single change, so a union of complete sets is
    complete.
    """
    by_name = {change.name: change for change in changes}
    needs: dict[str, set[str]] = {name: set() for name in by_name}
    for holder, requirement in _requirements(after, by_name):
        name = canonicalize_name(requirement.name)
        if name in by_name and name != holder and not _allows(requirement, by_name[name].before):
            needs[holder].add(name)
    for holder, requirement in _requirements(before, by_name):
        name = canonicalize_name(requirement.name)
        if name in by_name and name != holder and not _allows(requirement, by_name[name].after):
            needs[name].add(holder)

    def closure(names: frozenset[str]) -> frozenset[str]:
        complete, pending = set(names), list(names)
        while pending:
            new = needs[pending.pop()] - complete
            complete |= new
            pending += new
        return frozenset(complete)

    return closure


def _requirements(environment: InstalledPackages, holders: Iterable[str]) -> Iterable[tuple[str, Requirement]]:
    """Yield the requirements of the named packages that apply in an environment, without those of extras."""
    markers = {**environment.markers, "extra": ""}
    for holder in holders:
        for text in environment.requires.get(holder, ()):
            try:
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate(markers):
                    yield holder, requirement
            except (InvalidRequirement, UndefinedEnvironmentName, InvalidVersion):
                continue  # uv checks every set of versions again before it is installed


def _allows(requirement: Requirement, version: str | None) -> bool:
    """Return whether a requirement allows a version; None stands for a package that is not installed."""
    if version is None:
        return False
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True
