"""Search: the smallest set of changes that shows a symptom, and the first of some releases that does.

Both ask as few questions as they can, since an answer is an environment built and a benchmark run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from pytest_sst2.upgrade.dependency_closure import Closure


class Answer(Enum):
    """Whether a set of changes shows the symptom; UNKNOWN where it cannot be installed, or fails in another way."""

    SHOWS = "shows it"
    HOLDS = "holds"
    UNKNOWN = "cannot be told"


Test = Callable[[frozenset[str]], Answer]
T = TypeVar("T")


@dataclass(frozen=True)
class Culprits:
    """What was found.

    Attributes:
        groups: The changes that are needed together; of a group with several nothing in between could be tested.
        names: These, and what must change with them: the set that was seen to show the symptom.
        is_minimal: Whether the symptom is known to be gone without each of the groups.
    """

    groups: tuple[tuple[str, ...], ...]
    names: frozenset[str]
    is_minimal: bool = True


def smallest_set(names: Sequence[str], closure: Closure, test: Test) -> Culprits:
    """Return a smallest set of changes that shows a symptom, which all of them together are known to show.

    Changes are added one by one, those that need fewest others first, and a binary search finds the one with which the
    symptom appears. It is needed. Alone it is tested; where it does not show the symptom it is kept, and what came
    before it is searched for the next. That takes about log2(n) + 1 tests for each culprit of n changes. In the end
    each of several culprits is left out once, since the symptom may need fewer than were found.

    It is the search of QuickXplain (Junker 2004, AAAI) for one explanation after another; delta debugging (Zeller and
    Hildebrandt 2002, IEEE TSE 28) asks up to twice as often. Where a set cannot be tested its neighbours are.

    Args:
        names: The changes.
        closure: What must change together.
        test: Asked for complete sets only, and for none twice.

    Returns:
        Smallest in that no culprit can be left out. Where one change hides the symptom of another, there may be others.
    """
    known: dict[frozenset[str], Answer] = {
        frozenset(): Answer.HOLDS,
        closure(frozenset(names)): Answer.SHOWS,
    }

    def ask(wanted: frozenset[str]) -> Answer:
        whole = closure(wanted)
        if whole not in known:
            known[whole] = test(whole)
        return known[whole]

    waiting = sorted(names, key=lambda name: (len(closure(frozenset((name,)))), name))
    groups: list[tuple[str, ...]] = []
    found: frozenset[str] = frozenset()
    while ask(found) is not Answer.SHOWS and waiting:

        def with_first(count: int, found: frozenset[str] = found, order: Sequence[str] = tuple(waiting)) -> Answer:
            return ask(found.union(order[:count]))

        last, first = boundary(len(waiting), with_first)
        groups.insert(0, tuple(waiting[last:first]))
        found = found.union(groups[0])
        waiting = waiting[:last]
    is_minimal = True
    for group in tuple(groups) if len(groups) > 1 else ():
        answer = ask(found - set(group)) if len(groups) > 1 else Answer.HOLDS
        if answer is Answer.SHOWS:
            groups.remove(group)
            found -= set(group)
        is_minimal = is_minimal and answer is not Answer.UNKNOWN
    return Culprits(tuple(groups), closure(found), is_minimal)


def boundary(count: int, ask: Callable[[int], Answer]) -> tuple[int, int]:
    """Return the neighbouring numbers of 0 to ``count`` of which the lower holds and the higher shows the symptom.

    0 is known to hold and ``count`` to show it. Where all between two numbers cannot be told, these are returned.
    """
    holds, shows = 0, count
    while shows - holds > 1:
        for middle in _from_the_middle(holds, shows):
            answer = ask(middle)
            if answer is not Answer.UNKNOWN:
                break
        else:
            return holds, shows
        holds, shows = (holds, middle) if answer is Answer.SHOWS else (middle, shows)
    return holds, shows


def _from_the_middle(low: int, high: int) -> Iterator[int]:
    """Yield the numbers between two, the middle first and then those around it."""
    middle = (low + high) // 2
    yield middle
    for distance in range(1, high - low):
        for number in (middle - distance, middle + distance):
            if low < number < high:
                yield number


@dataclass(frozen=True)
class Release:
    """The first release that shows a symptom, and the last tested before it that does not."""

    first_bad: str
    last_good: str
    untested: tuple[str, ...]


def first_bad_release(good: str, between: Sequence[str], bad: str, test: Callable[[str], Answer]) -> Release:
    """Return the first release that shows a symptom, by binary search.

    Args:
        good: A release known to hold.
        between: Those after it and before ``bad``, the oldest first.
        bad: A release known to show it.
        test: Asked for some of those between.
    """
    order = [good, *between, bad]
    holds, shows = boundary(len(order) - 1, lambda number: test(order[number]))
    return Release(order[shows], order[holds], tuple(order[holds + 1 : shows]))
