"""Find the commit that causes a symptom, by testing commits between the two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pytest_sst2.upgrade.ab_run import Notify, Sides
from pytest_sst2.upgrade.checkouts import CheckoutError, Checkouts
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.first_bad_commit import first_bad_commit
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.observer import Observation, Observer
from pytest_sst2.utils.formatting import plural, shorten


@dataclass(kw_only=True)
class CommitSearch:
    """Tests whether commits between the two are good or bad.

    Attributes:
        environment: The packages that all commits are tested with.
        sides: Both ends, which were measured twice.
        good: The earlier commit.
        bad: The later commit.
        steps: The number of commits tested so far.
        undecided: How many of them are undecided.
        repeated: How many of them were tested twice.
    """

    checkouts: Checkouts
    environment: BuiltEnvironment
    observer: Observer
    sides: Sides
    good: str
    bad: str
    notify: Notify
    steps: int = 0
    undecided: int = 0
    repeated: int = 0
    _seen: dict[str, Observation] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the first bad commit, or between which commits it is, or why none is named.

        The commit that is named and its parents are measured once more. If they do not repeat their results, the
        symptom is no symptom of a commit.

        Raises:
            Sst2Error: The two commits have no common ancestor.
        """
        repository = self.checkouts.repository
        history = repository.history(self.good, self.bad)
        if not history:
            return [f"nothing to bisect: {self._name(self.good)} contains {self._name(self.bad)}"]
        merges = sum(len(parents) > 1 for parents in history.values())
        branches = f", with those on the branches of {plural(merges, 'merge')}" if merges else ""
        self.notify(f"bisecting {plural(len(history), 'commit')}{branches}: {self.observer.symptom}")
        found = first_bad_commit(history, self.bad, self._test)
        # The parents of the commits that are left were good, or are ancestors of good ones.
        parents = dict.fromkeys(parent for commit in found for parent in history[commit] if parent not in found)
        if refusal := self._contradiction(found[-1], parents):
            return [refusal]
        *unknown, bad = found
        if unknown:
            names = [f"{self._name(commit)} ({self._seen[commit].outcome.value})" for commit in unknown]
            return [f"the first bad commit is one of {shorten(names)} and {self._name(bad)} ({self._symptom(bad)})"]
        merge = ", a merge of good commits" if len(parents) > 1 else ""
        return [f"first bad commit: {self._name(bad)}{merge} ({self._symptom(bad)})"]

    def _test(self, sha: str) -> Outcome:
        self.steps += 1
        seen = self._seen[sha] = self._observe(sha)
        self.undecided += seen.outcome is Outcome.UNDECIDED
        self.notify(f"step {self.steps}: {self._name(sha)}: {seen}")
        return seen.outcome

    def _test_again(self, sha: str) -> Outcome:
        self.repeated += 1
        seen = self._observe(sha, repeated=True)
        self.notify(f"again: {self._name(sha)}: {seen}")
        return seen.outcome

    def _observe(self, sha: str, *, repeated: bool = False) -> Observation:
        try:
            checkout = self.checkouts.of(sha)
        except CheckoutError as error:
            return Observation(Outcome.UNTESTABLE, str(error))
        return self.observer.observe(self.environment.at(checkout), repeated=repeated)

    def _contradiction(self, bad: str, good: Iterable[str]) -> str:
        """Measure a bad commit and its good parents once more; return why none is named, empty if they repeat.

        A parent that only counted as good, because a good commit contains it, is measured for the first time.
        """
        expected = [(bad, Outcome.BAD), *((parent, Outcome.GOOD) for parent in good)]
        for sha, before in expected:
            if self._is_end(sha):
                continue
            if sha in self._seen:
                outcome = self._test_again(sha)
                if outcome is not before:
                    again = f"{self._name(sha)} is {outcome.value}, not {before.value} as before"
                    return f"no first bad commit: measured again, {again}"
            elif (outcome := self._test(sha)) is Outcome.BAD:
                return f"no first bad commit: {self._name(sha)} is bad too, although a good commit contains it"
            elif outcome is not Outcome.GOOD:
                assumed = f"{self._name(sha)} is {outcome.value}; it counts as good, because a good commit contains it"
                self.notify(f"note: {assumed}.")
        return ""

    def _is_end(self, sha: str) -> bool:
        """Return whether a commit is an end of the search, which was measured twice."""
        ends = (self.sides.before, self.sides.after)
        return any(
            end.checkout is not None and end == self.environment.at(end.checkout) and end.checkout.sha == sha
            for end in ends
        )

    def _symptom(self, sha: str) -> str:
        """Return the symptom as it shows in a bad commit."""
        return (self._seen[sha].symptom if sha in self._seen else "") or self.observer.symptom

    def _name(self, sha: str) -> str:
        return self.checkouts.repository.name(sha)
