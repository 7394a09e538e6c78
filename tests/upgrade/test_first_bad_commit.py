"""The search of the first bad commit, on histories without git."""

from __future__ import annotations

import math
import random
from collections.abc import Collection

import pytest

from pytest_sst2.upgrade.first_bad_commit import History, first_bad_commit
from pytest_sst2.upgrade.minimize import Outcome


def linear(count: int) -> dict[str, list[str]]:
    return {f"c{number}": [f"c{number - 1}"] for number in range(1, count + 1)}


def with_merges(count: int, chance: random.Random) -> dict[str, list[str]]:
    """Return a history of about ``count`` commits, in which branches of one to six commits are merged."""
    history: dict[str, list[str]] = {}
    tip = "c0"
    while len(history) < count:
        first = tip
        for _ in range(chance.randrange(1, 7)):
            history[f"c{len(history) + 1}"] = [tip]
            tip = f"c{len(history)}"
        if chance.random() < 0.7:
            branch = first
            for _ in range(chance.randrange(1, 7)):
                history[f"c{len(history) + 1}"] = [branch]
                branch = f"c{len(history)}"
            history[f"c{len(history) + 1}"] = [tip, branch]
            tip = f"c{len(history)}"
    return history


def descendants(history: History, first: str) -> set[str]:
    found = {first}
    for commit, parents in history.items():
        if not found.isdisjoint(parents):
            found.add(commit)
    return found


def search(history: History, culprit: str, unknown: Collection[str] = ()) -> tuple[tuple[str, ...], list[str]]:
    tested: list[str] = []
    bad = descendants(history, culprit)

    def test(commit: str) -> Outcome:
        tested.append(commit)
        if commit in unknown:
            return Outcome.UNTESTABLE
        return Outcome.BAD if commit in bad else Outcome.GOOD

    return first_bad_commit(history, list(history)[-1], test), tested


@pytest.mark.parametrize("count", [1, 2, 8, 57, 128])
def test_each_commit_of_a_line_is_found_in_log2_tests(count: int) -> None:
    history = linear(count)
    for culprit in history:
        found, tested = search(history, culprit)
        assert found == (culprit,)
        assert len(tested) <= math.ceil(math.log2(count))
        assert len(tested) == len(set(tested))


@pytest.mark.parametrize("seed", range(10))
def test_commits_on_branches_and_merges_are_found(seed: int) -> None:
    history = with_merges(60, random.Random(seed))
    for culprit in history:
        found, tested = search(history, culprit)
        assert found == (culprit,)
        assert len(tested) <= math.log2(len(history)) + 2


def test_commits_that_cannot_be_tested_are_left_out() -> None:
    history = linear(64)
    unknown = {f"c{number}" for number in (16, 31, 32, 33, 48)}
    for culprit in history.keys() - unknown - {"c17", "c34", "c49"}:
        found, tested = search(history, culprit, unknown)
        assert found == (culprit,)
        assert len(tested) <= math.log2(64) + 4


def test_the_first_bad_one_may_be_any_of_those_before_it_that_cannot_be_tested() -> None:
    assert search(linear(16), "c7", {"c5", "c6"})[0] == ("c5", "c6", "c7")
    assert search(linear(3), "c3", {"c1", "c2"})[0] == ("c1", "c2", "c3")


def test_a_long_row_that_cannot_be_tested_is_passed_in_few_steps() -> None:
    unknown = {f"c{number}" for number in range(40, 90)}
    found, tested = search(linear(128), "c110", unknown)
    assert found == ("c110",)
    assert len(tested) < len(unknown) / 2
