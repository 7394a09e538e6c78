"""Blame: which of the changed packages shows the symptom, and which of its releases was the first to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_sst2.results.environment_diff import FIRST_PACKAGES
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.ab_run import Say, Sides
from pytest_sst2.upgrade.benchmark_runs import Plan, TrialError, merged, run_trial
from pytest_sst2.upgrade.dependency_closure import Closure, closure_over
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments, look_into
from pytest_sst2.upgrade.minimize import Answer, Culprits, Release, first_bad_release, smallest_set
from pytest_sst2.upgrade.pins import Change, Pins, changes_between, lines_of
from pytest_sst2.upgrade.symptom import Symptom, answer_of, same_crash
from pytest_sst2.upgrade.uv import InstallError, Wanted
from pytest_sst2.utils.formatting import shorten
from pytest_sst2.utils.hashing import short_digest


@dataclass(frozen=True)
class Blamed:
    """A culprit and what is tied to it.

    Attributes:
        names: The culprit first; the others cannot be installed without it, nor it without them.
        is_range: Whether it is a range of changes between which nothing could be tested.
    """

    names: tuple[str, ...]
    is_range: bool

    def told(self, changes: Mapping[str, Change]) -> str:
        """Return the changes in words."""
        first, *others = self.names
        if self.is_range:
            return described(changes, self.names)
        tied = f" (tied to {', '.join(str(changes[name]) for name in others)})" if others else ""
        return f"{changes[first]}{tied}"


@dataclass
class Bisection:
    """Asks environments between the two whether they show a symptom.

    Attributes:
        sides: Both ends.
        symptom: What is looked for.
        environments: What builds those between.
        plan: What is run in them: the symptom's cell.
        passes: How often, where the symptom is one of costs.
        tolerance: As for the comparison.
        alpha: As for the comparison.
        folder: Where what was measured is kept until the end.
        say: Told of every step.
        asked_for: The packages that were named, which come first where several are tied to each other.
        steps: How many sets have been asked about so far.
    """

    sides: Sides
    symptom: Symptom
    environments: Environments
    plan: Plan
    passes: int
    tolerance: float
    alpha: float
    folder: Path
    say: Say
    asked_for: Sequence[str] = ()
    steps: int = 0
    _changes: Mapping[str, Change] = field(init=False)
    _closure: Closure = field(init=False)

    def __post_init__(self) -> None:
        self._changes = {change.name: change for change in self.sides.changes}
        before, after = look_into(self.sides.before), look_into(self.sides.after)
        self._closure = closure_over(self.sides.changes, before, after)
        if self.symptom.records:
            self.plan = self.plan.only(self.symptom.records)
        # What another cell gave answers nothing about this one.
        self.folder /= short_digest("\n".join(self.plan.flags))

    def culprits(self) -> Culprits:
        """Return the smallest set of changes that shows the symptom."""
        return smallest_set(list(self._changes), self._closure, self._test_set)

    def is_repeatable(self) -> bool:
        """Return whether the later environment shows the symptom once more: what chance made has no culprit."""
        answer, why = self._answered(lambda: self.sides.after.pins)
        self.say(f"once more in the later environment: {answer.value}{f' ({why})' if why else ''}")
        return answer is Answer.SHOWS

    def blame(self, culprits: Culprits) -> list[Blamed]:
        """Return each culprit with what is tied to it: those that were asked for by name first in each."""
        rank = {name: number for number, name in enumerate((*self.asked_for, *FIRST_PACKAGES))}
        found = []
        for group in culprits.groups:
            tied = {other for name in group for other in self._tied(name)}
            names = sorted(tied, key=lambda name: (rank.get(name, len(rank)), name))
            found.append(Blamed(tuple(names), is_range=len(group) > 1))
        return found

    def _tied(self, name: str) -> set[str]:
        """Return the changes that this one needs and that need it: nobody can install one without the others."""
        return {other for other in self._closure(frozenset((name,))) if name in self._closure(frozenset((other,)))}

    def first_bad(self, culprits: Culprits) -> Release | None:
        """Return the first release of the culprit that shows the symptom; None where it is not one package alone."""
        change = self._changes[self.blame(culprits)[0].names[0]]
        if len(culprits.groups) > 1 or len(culprits.groups[0]) > 1 or change.before is None or change.after is None:
            return None
        between = self.environments.uv.releases(change.name, change.before, change.after, self.sides.python)
        self.say(f"{change.name}: {len(between)} releases between {change.before} and {change.after}")
        return first_bad_release(
            change.before, between, change.after, lambda each: self._test_release(change.name, each)
        )

    def _test_set(self, names: frozenset[str]) -> Answer:
        pins = {**self.sides.before.pins}
        for name in names:
            version = self._changes[name].after
            if version is None:
                pins.pop(name, None)
            else:
                pins[name] = version
        said = f"{len(names)} of {len(self._changes)} changes: {described(self._changes, names)}"
        return self._asked(said, lambda: self._fitting(pins))

    def _fitting(self, pins: Pins) -> Pins:
        """Return the pins if they fit together.

        Raises:
            InstallError: A package requires another, or another version.
        """
        roots = (self.environments.runner, *lines_of(pins))
        found = self.environments.uv.resolve(Wanted(roots, pins, {}), self.sides.python)
        if missing := changes_between(pins, found):
            raise InstallError(f"they need {', '.join(map(str, missing[:3]))} besides.")
        return pins

    def _test_release(self, name: str, version: str) -> Answer:
        kept = {each: pinned for each, pinned in self.sides.before.pins.items() if each != name}

        def pins() -> Pins:
            wanted = Wanted((*self.sides.roots, f"{name}=={version}"), {}, kept)
            return self.environments.uv.resolve(wanted, self.sides.python)

        return self._asked(f"{name} {version}", pins)

    def _asked(self, said: str, pins: Callable[[], Pins]) -> Answer:
        self.steps += 1
        answer, why = self._answered(pins)
        self.say(f"step {self.steps}: {said}: {answer.value}{f' ({why})' if why else ''}")
        return answer

    def _answered(self, pins: Callable[[], Pins]) -> tuple[Answer, str]:
        try:
            environment = self.environments.build(pins(), self.sides.python)
        except InstallError as error:
            return Answer.UNKNOWN, f"cannot be installed: {error}"
        try:
            trial = self._measured(environment)
        except TrialError as error:
            same = self.symptom.kind == "crash" and same_crash(self.symptom.said, str(error))
            return (Answer.SHOWS, "") if same else (Answer.UNKNOWN, f"cannot run: {error}")
        answer = answer_of(self.symptom, trial, tolerance=self.tolerance, alpha=self.alpha)
        return answer, "its cell has no number, or none to compare" if answer is Answer.UNKNOWN else ""

    def _measured(self, environment: BuiltEnvironment) -> Results:
        count = self.passes if self.symptom.is_of_costs else 1
        files = [self.folder / f"{environment.key}-{number}.json" for number in range(1, count + 1)]
        return merged([run_trial(environment, self.plan, file) for file in files], environment.key)


def described(changes: Mapping[str, Change], names: Sequence[str] | frozenset[str]) -> str:
    """Return some changes in words, three of them and how many more."""
    shown = [str(changes[name]) for name in sorted(names)]
    return shorten(shown, 3 if len(shown) > 4 else 4)


def blamed(changes: Mapping[str, Change], culprits: Culprits, blame: Sequence[Blamed], symptom: Symptom) -> str:
    """Return the finding in one sentence.

    Args:
        changes: All, by name.
        culprits: What was found.
        blame: Each of them with what is tied to it.
        symptom: What they cause.
    """
    said = " and ".join(each.told(changes) for each in blame)
    tied = {name for each in blame for name in each.names}
    brought = sorted(culprits.names - tied)
    besides = f", with {described(changes, brought)}, which it needs," if brought else ""
    what = f"({symptom.name}: {symptom.said})"
    if any(each.is_range for each in blame):
        return f"among {said}{besides} is the cause; between them nothing could be tested {what}"
    if len(blame) > 1:
        alone = "and not one without the other" if culprits.is_minimal else "and what one does alone cannot be told"
        return f"{said}{besides} reproduce it together, {alone} {what}"
    return f"{said}{besides}{'' if brought or len(tied) > 1 else ' alone'} reproduces it {what}"
