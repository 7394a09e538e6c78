"""Bonds: which changes of packages need each other, from what both versions require."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_sst2.upgrade.pins import Change, Pins


@dataclass(frozen=True)
class Installed:
    """What an environment holds.

    Attributes:
        pins: Its packages.
        requires: From the name of a package to the requirements it states (PEP 508).
        markers: What markers are evaluated with.
    """

    pins: Pins
    requires: Mapping[str, Sequence[str]]
    markers: Mapping[str, str]


Closure = Callable[[frozenset[str]], frozenset[str]]
"""From some changes to these and all that must change with them."""


def closure_over(changes: Sequence[Change], before: Installed, after: Installed) -> Closure:
    """Return what completes a set of changes to one that keeps every requirement that both environments keep.

    A change needs another where its later version does not take the other's earlier one, or the other's earlier version
    does not take its later one. Such needs have one premise each, so that the union of complete sets is complete.
    """
    changed = {change.name: change for change in changes}
    needs: dict[str, set[str]] = {name: set() for name in changed}
    for holder, requirement in _requirements(after, changed):
        name = canonicalize_name(requirement.name)
        if name in changed and name != holder and not _takes(requirement, changed[name].before):
            needs[holder].add(name)
    for holder, requirement in _requirements(before, changed):
        name = canonicalize_name(requirement.name)
        if name in changed and name != holder and not _takes(requirement, changed[name].after):
            needs[name].add(holder)

    def closure(names: frozenset[str]) -> frozenset[str]:
        found, waiting = set(names), list(names)
        while waiting:
            new = needs[waiting.pop()] - found
            found |= new
            waiting += new
        return frozenset(found)

    return closure


def _requirements(side: Installed, holders: Iterable[str]) -> Iterable[tuple[str, Requirement]]:
    """Yield what each of the packages requires in an environment, as far as it is said for it and without extras."""
    environment = {**side.markers, "extra": ""}
    for holder in holders:
        for text in side.requires.get(holder, ()):
            try:
                requirement = Requirement(text)
                if requirement.marker is None or requirement.marker.evaluate(environment):
                    yield holder, requirement
            except (InvalidRequirement, UndefinedEnvironmentName, InvalidVersion):
                continue  # the installer has the last word on whether a set fits


def _takes(requirement: Requirement, version: str | None) -> bool:
    """Tell whether a requirement is kept by a version; None is for a package that is not there."""
    if version is None:
        return False
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True
