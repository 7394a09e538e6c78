"""Search the cause of a symptom between two environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_sst2.upgrade.ab_run import Notify, Sides
from pytest_sst2.upgrade.environments import Environments
from pytest_sst2.upgrade.observer import Observer, repeat_ends
from pytest_sst2.upgrade.package_search import PackageSearch, cause_sentence, release_sentence
from pytest_sst2.utils.formatting import plural


@dataclass(frozen=True)
class CauseSearch:
    """What to search between the two environments.

    Attributes:
        environments: Where environments between the two are built.
        notify: Called with each step.
        releases: Whether to look for the first bad release, too.
        named: The packages named on the command line.
    """

    sides: Sides
    environments: Environments
    notify: Notify
    releases: bool
    named: Sequence[str]

    def lines(self, observer: Observer) -> list[str]:
        """Return the cause of the observer's symptom; why there is none, if an end does not repeat its result."""
        if not self.sides.changes:
            return ["nothing to bisect: no package changes"]
        self.notify(f"bisecting {plural(len(self.sides.changes), 'change')}: {observer.symptom}")
        if refusal := repeat_ends(observer, self.sides, self.notify):
            return [refusal]
        return self._packages(observer)

    def _packages(self, observer: Observer) -> list[str]:
        search = PackageSearch(
            sides=self.sides,
            environments=self.environments,
            observe=observer.observe,
            notify=self.notify,
            named=self.named,
        )
        minimal = search.minimal_set()
        changes = {change.name: change for change in self.sides.changes}
        lines = [cause_sentence(changes, minimal, search.causes(minimal), observer.symptom)]
        if self.releases:
            lines.append(release_sentence(search, minimal))
        tested = f"{plural(search.steps, 'set')} of packages tested between the two environments"
        return [*lines, with_undecided(tested, search.undecided, observer.remedy)]


def with_undecided(tested: str, undecided: int, remedy: str) -> str:
    """Return what was tested, how much of it is undecided, and what measures it better."""
    if not undecided:
        return tested
    return f"{tested}, {undecided} of them undecided{f': {remedy}' if remedy else ''}"
