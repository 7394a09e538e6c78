"""Search the cause of a symptom between two environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_sst2.upgrade.ab_run import Notify, Sides
from pytest_sst2.upgrade.checkouts import Checkout, Checkouts
from pytest_sst2.upgrade.commit_search import CommitSearch
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.observer import Observer, repeat_ends
from pytest_sst2.upgrade.package_search import PackageSearch, cause_sentence, release_sentence
from pytest_sst2.utils.formatting import plural


@dataclass(frozen=True)
class CauseSearch:
    """What to search between the two environments.

    Attributes:
        environments: Where environments between the two are built; None if no package changes.
        checkouts: Where commits are checked out; None if both environments run the files of the working folder.
        notify: Called with each step.
        releases: Whether to look for the first bad release, too.
        named: The packages named on the command line.
    """

    sides: Sides
    environments: Environments | None
    checkouts: Checkouts | None
    notify: Notify
    releases: bool
    named: Sequence[str]

    def lines(self, observer: Observer) -> list[str]:
        """Return the cause of the observer's symptom; why there is none, if an end does not repeat its result."""
        before, after = self.sides.before, self.sides.after
        if not self.sides.changes and before.checkout == after.checkout:
            return ["nothing to bisect: no package changes"]
        if refusal := repeat_ends(observer, self.sides, self.notify):
            return [refusal]
        if before.checkout == after.checkout:
            return self._packages(observer, after.checkout)
        if not self.sides.changes:
            return self._commits(observer, before)
        return self._packages_or_commits(observer)

    def _packages_or_commits(self, observer: Observer) -> list[str]:
        """Test one end's commit with the other end's packages, then search what makes the difference."""
        before, after = self.sides.before, self.sides.after
        commit = observer.observe(before.at(after.checkout))
        self.notify(f"the later commit with the earlier packages: {commit}")
        if commit.outcome is Outcome.BAD:
            return self._commits(observer, before)
        packages = observer.observe(after.at(before.checkout))
        self.notify(f"the earlier commit with the later packages: {packages}")
        if packages.outcome is Outcome.BAD:
            return self._packages(observer, before.checkout)
        # What is good without the later packages needs them; what is good without the later commit needs that.
        lines = self._packages(observer, after.checkout) if commit.outcome is Outcome.GOOD else []
        lines += self._commits(observer, after) if packages.outcome is Outcome.GOOD else []
        if commit.outcome is packages.outcome is Outcome.GOOD:
            return ["a commit and a package reproduce it together, but neither without the other", *lines]
        return lines or [f"no cause: neither commit can be judged with the packages of the other ({observer.symptom})"]

    def _commits(self, observer: Observer, environment: BuiltEnvironment) -> list[str]:
        before, after = self.sides.before, self.sides.after
        assert self.checkouts is not None  # noqa: S101 - commits differ
        assert before.checkout is not None  # noqa: S101
        assert after.checkout is not None  # noqa: S101
        search = CommitSearch(
            checkouts=self.checkouts,
            environment=environment,
            observer=observer,
            sides=self.sides,
            good=before.checkout.sha,
            bad=after.checkout.sha,
            notify=self.notify,
        )
        lines = search.lines()
        tested = f"{plural(search.steps, 'commit')} tested between the two"
        if self.sides.changes:
            tested += f", with the {'earlier' if environment is before else 'later'} packages"
        if search.repeated:
            tested += f", {search.repeated} of them twice"
        return [*lines, with_undecided(tested, search.undecided, observer.remedy)]

    def _packages(self, observer: Observer, checkout: Checkout | None) -> list[str]:
        assert self.environments is not None  # noqa: S101 - packages change
        self.notify(f"bisecting {plural(len(self.sides.changes), 'change')}: {observer.symptom}")
        search = PackageSearch(
            sides=self.sides,
            environments=self.environments,
            observe=lambda environment: observer.observe(environment.at(checkout)),
            notify=self.notify,
            named=self.named,
        )
        minimal = search.minimal_set()
        changes = {change.name: change for change in self.sides.changes}
        lines = [cause_sentence(changes, minimal, search.causes(minimal), observer.symptom)]
        if self.releases:
            lines.append(release_sentence(search, minimal))
        tested = f"{plural(search.steps, 'set')} of packages tested between the two environments"
        if checkout and self.checkouts:
            tested += f", with the files of {self.checkouts.repository.name(checkout.sha)}"
        return [*lines, with_undecided(tested, search.undecided, observer.remedy)]


def with_undecided(tested: str, undecided: int, remedy: str) -> str:
    """Return what was tested, how much of it is undecided, and what measures it better."""
    if not undecided:
        return tested
    return f"{tested}, {undecided} of them undecided{f': {remedy}' if remedy else ''}"
