"""Find the smallest set of changes that reproduces a symptom, and the first release that does.

Both searches test as little as possible, because each test builds an environment and runs a benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from pytest_sst2.upgrade.dependency_closure import Closure


class Outcome(Enum):
    """Whether a set of changes reproduces the symptom.

    UNDECIDED if the measurements cannot tell. UNTESTABLE if the set cannot be installed or fails differently.
    """

    BAD = "bad"
    GOOD = "good"
    UNDECIDED = "undecided"
    UNTESTABLE = "untestable"

    @property
    def is_known(self) -> bool:
        """Whether it is bad or good."""
        return self in (Outcome.BAD, Outcome.GOOD)


TestFunction = Callable[[frozenset[str]], Outcome]


@dataclass(frozen=True)
class MinimalSet:
    """A smallest set of changes that reproduces the symptom.

    Attributes:
        groups: The changes that cause the symptom together. A group has several if no set between them was bad or good.
        names: The changes of all groups and those they need: the set in which the symptom was observed.
        is_minimal: Whether every group was shown to be necessary.
    """

    groups: tuple[tuple[str, ...], ...]
    names: frozenset[str]
    is_minimal: bool = True


def minimal_set(names: Sequence[str], closure: Closure, test: TestFunction) -> MinimalSet:
    """Return a smallest set of changes that reproduces a symptom, given that all of them together do.

    The changes are ordered by the size of their closure. A binary search finds the first change with which the symptom
    appears; that change is necessary. If it does not reproduce the symptom alone, it is kept, and the changes before it
    are searched for the next one. This takes about log2(n) + 1 tests for each cause among n changes. Finally each of
    several causes is left out once, because the symptom may need fewer than were found.

    This is the search of QuickXplain (Junker 2004, AAAI), repeated. Delta debugging (Zeller and Hildebrandt 2002, IEEE
    TSE 28) needs up to twice as many tests. If a set is untestable or undecided, its neighbours are tested. ``test`` is
    called with complete sets only, never twice with the same.

    Returns:
        A set of which no cause can be left out. If one change hides the symptom of another, there may be other such
        sets.
    """
    known: dict[frozenset[str], Outcome] = {frozenset(): Outcome.GOOD, closure(frozenset(names)): Outcome.BAD}

    def outcome_of(changes: frozenset[str]) -> Outcome:
        complete = closure(changes)
        if complete not in known:
            known[complete] = test(complete)
        return known[complete]

    remaining = sorted(names, key=lambda name: (len(closure(frozenset((name,)))), name))
    groups: list[tuple[str, ...]] = []
    causes: frozenset[str] = frozenset()
    while outcome_of(causes) is not Outcome.BAD and remaining:

        def with_first(count: int, causes: frozenset[str] = causes, order: Sequence[str] = tuple(remaining)) -> Outcome:
            return outcome_of(causes.union(order[:count]))

        last_good, first_bad = boundary(len(remaining), with_first)
        groups.insert(0, tuple(remaining[last_good:first_bad]))
        causes = causes.union(groups[0])
        remaining = remaining[:last_good]
    is_minimal = True
    for group in tuple(groups) if len(groups) > 1 else ():
        outcome = outcome_of(causes - set(group)) if len(groups) > 1 else Outcome.GOOD
        if outcome is Outcome.BAD:
            groups.remove(group)
            causes -= set(group)
        is_minimal = is_minimal and outcome.is_known
    return MinimalSet(tuple(groups), closure(causes), is_minimal)


def boundary(count: int, outcome_of: Callable[[int], Outcome]) -> tuple[int, int]:
    """Return the last good and the first bad of the numbers 0 to ``count``, by binary search.

    0 is known to be good and ``count`` to be bad. The two are neighbours unless all numbers between them are
    untestable or undecided.
    """
    good, bad = 0, count
    while bad - good > 1:
        for middle in _middle_first(good, bad):
            outcome = outcome_of(middle)
            if outcome.is_known:
                break
        else:
            return good, bad
        good, bad = (good, middle) if outcome is Outcome.BAD else (middle, bad)
    return good, bad


def _middle_first(low: int, high: int) -> list[int]:
    """Return the numbers between two, starting in the middle."""
    return sorted(range(low + 1, high), key=lambda number: abs(number - (low + high) // 2))


@dataclass(frozen=True)
class FirstBadRelease:
    """The first release that reproduces a symptom, and the last one before it that does not.

    Attributes:
        between: The releases between the two, each with its outcome. The first bad release may be one of them.
    """

    first_bad: str
    last_good: str
    between: tuple[tuple[str, Outcome], ...]


def first_bad_release(good: str, between: Sequence[str], bad: str, test: Callable[[str], Outcome]) -> FirstBadRelease:
    """Return the first release that reproduces a symptom, by binary search.

    Of the releases, oldest first, ``good`` is known not to reproduce it and ``bad`` to do so.
    """
    releases = [good, *between, bad]
    outcomes: dict[int, Outcome] = {}

    def outcome_of(number: int) -> Outcome:
        if number not in outcomes:
            outcomes[number] = test(releases[number])
        return outcomes[number]

    last_good, first_bad = boundary(len(releases) - 1, outcome_of)
    unknown = tuple((releases[number], outcomes[number]) for number in range(last_good + 1, first_bad))
    return FirstBadRelease(releases[first_bad], releases[last_good], unknown)
