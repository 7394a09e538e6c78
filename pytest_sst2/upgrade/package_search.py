"""Find the packages that cause a symptom, and the first bad release, by testing environments between the two."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pytest_sst2.results.environment_diff import FIRST_PACKAGES
from pytest_sst2.upgrade.ab_run import Notify, Sides
from pytest_sst2.upgrade.dependency_closure import Closure, dependency_closure
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments, inspect_environment
from pytest_sst2.upgrade.minimize import FirstBadRelease, MinimalSet, Outcome, first_bad_release, minimal_set
from pytest_sst2.upgrade.observer import Observation
from pytest_sst2.upgrade.pins import Pins, VersionChange, changes_between, pin_lines
from pytest_sst2.upgrade.uv import InstallError
from pytest_sst2.utils.formatting import shorten

Changes = Mapping[str, VersionChange]
"""From the name of a package to its change."""


@dataclass(frozen=True)
class Cause:
    """A package that causes the symptom, then the packages that need it and are needed by it.

    It is a range if these are several changes, between which no set was bad or good.
    """

    names: tuple[str, ...]
    is_range: bool

    def describe(self, changes: Changes) -> str:
        """Return the changes in words."""
        first, *others = self.names
        if self.is_range:
            return describe_changes(changes, self.names)
        tied = f" (tied to {', '.join(str(changes[name]) for name in others)})" if others else ""
        return f"{changes[first]}{tied}"


@dataclass(kw_only=True)
class PackageSearch:
    """Finds the packages that cause a symptom, by testing environments between the two.

    Attributes:
        observe: Tests an environment.
        named: The packages named on the command line. Of several tied packages they are listed first.
        steps: The number of sets tested so far.
        undecided: How many of them are undecided.
    """

    sides: Sides
    environments: Environments
    observe: Callable[[BuiltEnvironment], Observation]
    notify: Notify
    named: Sequence[str] = ()
    steps: int = 0
    undecided: int = 0
    _changes: Changes = field(init=False)
    _closure: Closure = field(init=False)

    def __post_init__(self) -> None:
        self._changes = {change.name: change for change in self.sides.changes}
        before, after = inspect_environment(self.sides.before), inspect_environment(self.sides.after)
        self._closure = dependency_closure(self.sides.changes, before, after)

    def minimal_set(self) -> MinimalSet:
        """Return a smallest set of changes that reproduces the symptom."""
        return minimal_set(list(self._changes), self._closure, self._test_set)

    def causes(self, minimal: MinimalSet) -> list[Cause]:
        """Return each cause with the packages tied to it, those named on the command line first."""
        rank = {name: number for number, name in enumerate((*self.named, *FIRST_PACKAGES))}
        needs = {name: self._closure(frozenset((name,))) for name in self._changes}
        causes = []
        for group in minimal.groups:
            tied = {other for name in group for other in needs[name] if name in needs[other]}
            names = sorted(tied, key=lambda name: (rank.get(name, len(rank)), name))
            causes.append(Cause(tuple(names), is_range=len(group) > 1))
        return causes

    def first_bad_release(self, minimal: MinimalSet) -> FirstBadRelease | None:
        """Return the first release that reproduces the symptom, None if a single package does not cause it."""
        change = self._changes[self.causes(minimal)[0].names[0]]
        if len(minimal.groups) > 1 or len(minimal.groups[0]) > 1 or change.before is None or change.after is None:
            return None
        between = self.environments.uv.releases(change.name, change.before, change.after, self.sides.python)
        self.notify(f"{change.name}: {len(between)} releases between {change.before} and {change.after}")
        return first_bad_release(
            change.before, between, change.after, lambda version: self._test_release(change.name, version)
        )

    def _test_set(self, names: frozenset[str]) -> Outcome:
        versions = {**self.sides.before.pins, **{name: self._changes[name].after for name in names}}
        pins = {name: version for name, version in versions.items() if version is not None}
        description = f"{len(names)} of {len(self._changes)} changes: {describe_changes(self._changes, names)}"
        return self._test(description, lambda: self._checked(pins))

    def _checked(self, pins: Pins) -> Pins:
        """Return the pins, or raise InstallError if a package needs another package or another version."""
        roots = (*self.environments.runner, *pin_lines(pins))
        resolved = self.environments.uv.resolve(roots, self.sides.python, pins=pins)
        if missing := changes_between(pins, resolved):
            raise InstallError(f"these versions also need {', '.join(map(str, missing[:3]))}.")
        return pins

    def _test_release(self, name: str, version: str) -> Outcome:
        others = {other: pinned for other, pinned in self.sides.before.pins.items() if other != name}
        roots, resolve = (*self.sides.roots, f"{name}=={version}"), self.environments.uv.resolve
        return self._test(f"{name} {version}", lambda: resolve(roots, self.sides.python, preferred=others))

    def _test(self, description: str, pins: Callable[[], Pins]) -> Outcome:
        self.steps += 1
        seen = self._observation(pins)
        self.undecided += seen.outcome is Outcome.UNDECIDED
        self.notify(f"step {self.steps}: {description}: {seen}")
        return seen.outcome

    def _observation(self, pins: Callable[[], Pins]) -> Observation:
        try:
            environment = self.environments.build(pins(), self.sides.python)
        except InstallError as error:
            return Observation(Outcome.UNTESTABLE, f"cannot be installed: {error}")
        return self.observe(environment)


def describe_changes(changes: Changes, names: Collection[str]) -> str:
    """Return some changes in words: at most four, or three and the number of the others."""
    texts = [str(changes[name]) for name in sorted(names)]
    return shorten(texts, 3 if len(texts) > 4 else 4)


def cause_sentence(changes: Changes, minimal: MinimalSet, causes: Sequence[Cause], symptom: str) -> str:
    """Return in one sentence which packages cause the symptom; ``causes`` are those of the minimal set."""
    description = " and ".join(cause.describe(changes) for cause in causes)
    tied = {name for cause in causes for name in cause.names}
    needed = sorted(minimal.names - tied)
    with_needed = f", with {describe_changes(changes, needed)}, which it needs," if needed else ""
    what = f"({symptom})"
    if any(cause.is_range for cause in causes):
        return f"the cause is among {description}{with_needed}; no smaller set is known to be bad or good {what}"
    if len(causes) > 1:
        alone = "but none without the others" if minimal.is_minimal else "but a smaller set may"
        return f"{description}{with_needed} reproduce it together, {alone} {what}"
    alone = "" if needed or len(tied) > 1 else " alone"
    return f"{description}{with_needed}{alone} reproduces it {what}"


def release_sentence(search: PackageSearch, minimal: MinimalSet) -> str:
    """Find the first bad release, and return which it is: a single one only if the release before it is good."""
    try:
        release = search.first_bad_release(minimal)
    except InstallError as error:
        return f"the releases could not be listed: {error}"
    if release is None:
        return "no first bad release: no single package causes it"
    name, last_good = search.causes(minimal)[0].names[0], f"last good release tested: {release.last_good}"
    if not release.between:
        return f"first bad release: {name} {release.first_bad}; {last_good}"
    outcomes = ", ".join(f"{version} ({outcome.value})" for version, outcome in release.between)
    return f"the first bad release is one of {name} {outcomes} and {release.first_bad}; {last_good}"
