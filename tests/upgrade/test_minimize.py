"""The search for culprits: found whatever the others do, in few questions, and never with one too many."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.upgrade.minimize import Answer, Culprits, boundary, first_bad_release, smallest_set

NAMES = [f"p{number:02d}" for number in range(10)]


def alone(names: frozenset[str]) -> frozenset[str]:
    return names


def needing(needs: Mapping[str, set[str]]) -> Callable[[frozenset[str]], frozenset[str]]:
    def closure(names: frozenset[str]) -> frozenset[str]:
        found = set(names)
        while new := {each for name in found for each in needs.get(name, ())} - found:
            found |= new
        return frozenset(found)

    return closure


class Asked:
    """Shows the symptom where all culprits of one set are there; counts, and refuses to be asked twice."""

    def __init__(self, *culprits: set[str], broken: Callable[[frozenset[str]], bool] = lambda _: False) -> None:
        self.culprits = culprits
        self.broken = broken
        self.sets: list[frozenset[str]] = []

    def __call__(self, names: frozenset[str]) -> Answer:
        assert names not in self.sets
        self.sets.append(names)
        if self.broken(names):
            return Answer.UNKNOWN
        return Answer.SHOWS if any(each <= names for each in self.culprits) else Answer.HOLDS


@pytest.mark.parametrize("culprit", NAMES)
def test_a_single_culprit_is_found_wherever_it_stands_in_few_questions(culprit: str) -> None:
    asked = Asked({culprit})
    assert smallest_set(NAMES, alone, asked) == Culprits(((culprit,),), frozenset((culprit,)))
    assert len(asked.sets) <= math.ceil(math.log2(len(NAMES))) + 1 <= 2 * math.log2(len(NAMES)) + 2


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.data())
def test_culprits_that_are_needed_together_are_all_found_and_no_others(count: int, data: st.DataObject) -> None:
    names = [f"p{number:02d}" for number in range(count)]
    culprits = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=4))
    asked = Asked(culprits)
    found = smallest_set(names, alone, asked)
    assert {name for group in found.groups for name in group} == found.names == culprits
    assert all(len(group) == 1 for group in found.groups)
    most = len(culprits) * (math.ceil(math.log2(max(count, 2))) + 2)
    assert len(asked.sets) <= most


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_set_that_is_named_was_seen_to_show_it_and_is_complete(data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12))
    needs: dict[str, set[str]] = {}
    for one, other in pairs:
        needs.setdefault(one, set()).add(other)
    closure = needing(needs)
    culprits = data.draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
    asked = Asked(culprits)
    found = smallest_set(NAMES, closure, asked)
    assert all(closure(each) == each for each in asked.sets)
    assert found.names == closure(found.names)
    assert culprits <= found.names
    assert found.names in asked.sets or found.names == frozenset(NAMES)
    # One fewer, and what is left does not show it.
    for group in found.groups:
        rest = closure(frozenset(name for each in found.groups if each != group for name in each))
        assert not culprits <= rest


def test_either_of_two_culprits_is_an_answer_and_it_is_one_of_them_alone() -> None:
    found = smallest_set(NAMES, alone, Asked({"p02"}, {"p07"}))
    assert found.groups in ((("p02",),), (("p07",),))


def test_what_a_change_brings_along_is_not_blamed_for_it() -> None:
    closure = needing({"p05": {"p01", "p08"}})
    found = smallest_set(NAMES, closure, Asked({"p05"}))
    assert found.groups == (("p05",),)
    assert found.names == {"p05", "p01", "p08"}


def test_what_is_brought_along_is_blamed_where_it_does_it_alone() -> None:
    closure = needing({"p00": {"p08"}, "p01": {"p08"}})
    assert smallest_set(NAMES, closure, Asked({"p08"})).names == {"p08"}


def test_two_that_need_each_other_are_named_as_one_change_that_brings_the_other() -> None:
    closure = needing({"p03": {"p04"}, "p04": {"p03"}})
    found = smallest_set(NAMES, closure, Asked({"p04"}))
    assert found.names == {"p03", "p04"}
    assert len(found.groups) == 1


def test_sets_that_cannot_be_tested_are_gone_around() -> None:
    asked = Asked({"p06"}, broken=lambda names: len(names) in (4, 5))
    assert smallest_set(NAMES, alone, asked).groups == (("p06",),)


def test_where_nothing_between_can_be_tested_the_whole_group_is_named() -> None:
    # p03 never installs without p04 to p06, and nobody says so.
    asked = Asked({"p05"}, broken=lambda names: 0 < len(names & {"p03", "p04", "p05", "p06"}) < 4)
    assert smallest_set(NAMES, alone, asked).groups == (("p03", "p04", "p05", "p06"),)


def test_where_one_cannot_be_left_out_it_is_said_that_nobody_knows() -> None:
    asked = Asked({"p02", "p07"}, broken=lambda names: names == {"p07"})
    found = smallest_set(NAMES, alone, asked)
    assert found.names == {"p02", "p07"}
    assert not found.is_minimal
    assert smallest_set(NAMES, alone, Asked({"p02", "p07"})).is_minimal


def test_a_change_that_is_the_only_one_needs_no_question() -> None:
    asked = Asked({"p00"})
    assert smallest_set(["p00"], alone, asked).groups == (("p00",),)
    assert asked.sets == []


@pytest.mark.parametrize("first_bad", range(1, 33))
def test_a_boundary_is_found_by_halving(first_bad: int) -> None:
    asked: list[int] = []

    def ask(number: int) -> Answer:
        asked.append(number)
        return Answer.SHOWS if number >= first_bad else Answer.HOLDS

    assert boundary(32, ask) == (first_bad - 1, first_bad)
    assert len(asked) == 5
    assert not {0, 32} & set(asked)


class TestReleases:
    BETWEEN = ("1.1", "1.2", "1.3", "1.4")

    @pytest.mark.parametrize(("bad", "good"), [("1.1", "1.0"), ("1.3", "1.2"), ("2.0", "1.4")])
    def test_the_first_bad_one_and_the_last_good_one_are_neighbours(self, bad: str, good: str) -> None:
        order = ["1.0", *self.BETWEEN, "2.0"]

        def ask(version: str) -> Answer:
            return Answer.SHOWS if order.index(version) >= order.index(bad) else Answer.HOLDS

        found = first_bad_release("1.0", self.BETWEEN, "2.0", ask)
        assert (found.first_bad, found.last_good, found.untested) == (bad, good, ())

    def test_those_that_cannot_be_tested_are_said(self) -> None:
        found = first_bad_release("1.0", self.BETWEEN, "2.0", lambda _: Answer.UNKNOWN)
        assert (found.first_bad, found.last_good, found.untested) == ("2.0", "1.0", self.BETWEEN)

    def test_without_any_between_nothing_is_asked(self) -> None:
        def never(_: str) -> Answer:
            raise AssertionError

        assert first_bad_release("1.0", (), "2.0", never).first_bad == "2.0"
