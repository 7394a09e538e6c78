"""Find the smallest set of changes that reproduces a symptom, and the first release that does.

Both searches test as little as possible, because each test builds an environment and runs a benchmark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from pytest_sst2.upgrade.dependency_closure import Closure


class Outcome(Enum):
    """Whether a set of changes reproduces the symptom; UNTESTABLE if it cannot be installed or fails differently."""

    BAD = "bad"
    GOOD = "good"
    UNTESTABLE = "untestable"


TestFunction = Callable[[frozenset[str]], Outcome]


@dataclass(frozen=True)
class MinimalSet:
    """A smallest set of changes that reproduces the symptom.

    Attributes:
        groups: The changes that cause the symptom together. A group has several if nothing between them was testable.
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
    TSE 28) needs up to twice as many tests. If a set is untestable, its neighbours are tested. ``test`` is called with
    complete sets only, never twice with the same.

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
        is_minimal = is_minimal and outcome is not Outcome.UNTESTABLE
    return MinimalSet(tuple(groups), closure(causes), is_minimal)


def boundary(count: int, outcome_of: Callable[[int], Outcome]) -> tuple[int, int]:
    """Return the last good and the first bad of the numbers 0 to ``count``, by binary search.

    0 is known to be good and ``count`` to be bad. The two are neighbours unless all numbers between them are
    untestable.
    """
    good, bad = 0, count
    while bad - good > 1:
        for middle in _middle_first(good, bad):
            outcome = outcome_of(middle)
            if outcome is not Outcome.UNTESTABLE:
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
    """The first release that reproduces a symptom, the last tested one that does not, and untestable ones between."""

    first_bad: str
    last_good: str
    untested: tuple[str, ...]


def first_bad_release(good: str, between: Sequence[str], bad: str, test: Callable[[str], Outcome]) -> FirstBadRelease:
    """Return the first release that reproduces a symptom, by binary search.

    Of the releases, oldest first, ``good`` is known not to reproduce it and ``bad`` to do so.
    """
    releases = [good, *between, bad]
    last_good, first_bad = boundary(len(releases) - 1, lambda number: test(releases[number]))
    return FirstBadRelease(releases[first_bad], releases[last_good], tuple(releases[last_good + 1 : first_bad]))
