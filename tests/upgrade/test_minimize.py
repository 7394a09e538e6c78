"""The search for the causes: it finds all of them and no others, with few tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sst2.upgrade.minimize import MinimalSet, Outcome, boundary, first_bad_release, minimal_set

NAMES = [f"p{number:02d}" for number in range(10)]


def alone(names: frozenset[str]) -> frozenset[str]:
    return names


def needing(needs: Mapping[str, set[str]]) -> Callable[[frozenset[str]], frozenset[str]]:
    def closure(names: frozenset[str]) -> frozenset[str]:
        result = set(names)
        while new := {need for name in result for need in needs.get(name, ())} - result:
            result |= new
        return frozenset(result)

    return closure


class CountedTests:
    """Bad if all causes of one set are there; records the tested sets and refuses to test one twice."""

    def __init__(
        self,
        *causes: set[str],
        broken: Callable[[frozenset[str]], bool] = lambda _: False,
        unclear: Outcome = Outcome.UNTESTABLE,
    ) -> None:
        self.causes = causes
        self.broken = broken
        self.unclear = unclear
        self.sets: list[frozenset[str]] = []

    def __call__(self, names: frozenset[str]) -> Outcome:
        assert names not in self.sets
        self.sets.append(names)
        if self.broken(names):
            return self.unclear
        return Outcome.BAD if any(cause <= names for cause in self.causes) else Outcome.GOOD


@pytest.mark.parametrize("cause", NAMES)
def test_a_single_cause_is_found_anywhere_with_few_tests(cause: str) -> None:
    tests = CountedTests({cause})
    assert minimal_set(NAMES, alone, tests) == MinimalSet(((cause,),), frozenset((cause,)))
    assert len(tests.sets) <= math.ceil(math.log2(len(NAMES))) + 1 <= 2 * math.log2(len(NAMES)) + 2


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.data())
def test_causes_that_are_needed_together_are_all_found_and_no_others(count: int, data: st.DataObject) -> None:
    names = [f"p{number:02d}" for number in range(count)]
    causes = data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=4))
    tests = CountedTests(causes)
    result = minimal_set(names, alone, tests)
    assert {name for group in result.groups for name in group} == result.names == causes
    assert all(len(group) == 1 for group in result.groups)
    most = len(causes) * (math.ceil(math.log2(max(count, 2))) + 2)
    assert len(tests.sets) <= most


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_named_set_is_complete_and_was_tested_bad(data: st.DataObject) -> None:
    pairs = data.draw(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), max_size=12))
    needs: dict[str, set[str]] = {}
    for one, other in pairs:
        needs.setdefault(one, set()).add(other)
    closure = needing(needs)
    causes = data.draw(st.sets(st.sampled_from(NAMES), min_size=1, max_size=3))
    tests = CountedTests(causes)
    result = minimal_set(NAMES, closure, tests)
    assert all(closure(tested) == tested for tested in tests.sets)
    assert result.names == closure(result.names)
    assert causes <= result.names
    assert result.names in tests.sets or result.names == frozenset(NAMES)
    # Without any one group the rest is good.
    for group in result.groups:
        rest = closure(frozenset(name for other in result.groups if other != group for name in other))
        assert not causes <= rest


def test_of_two_sufficient_causes_one_is_named() -> None:
    result = minimal_set(NAMES, alone, CountedTests({"p02"}, {"p07"}))
    assert result.groups in ((("p02",),), (("p07",),))


def test_a_needed_change_is_not_a_cause() -> None:
    closure = needing({"p05": {"p01", "p08"}})
    result = minimal_set(NAMES, closure, CountedTests({"p05"}))
    assert result.groups == (("p05",),)
    assert result.names == {"p05", "p01", "p08"}


def test_a_needed_change_is_the_cause_if_it_is_bad_alone() -> None:
    closure = needing({"p00": {"p08"}, "p01": {"p08"}})
    assert minimal_set(NAMES, closure, CountedTests({"p08"})).names == {"p08"}


def test_two_that_need_each_other_are_named_as_one_change_that_brings_the_other() -> None:
    closure = needing({"p03": {"p04"}, "p04": {"p03"}})
    result = minimal_set(NAMES, closure, CountedTests({"p04"}))
    assert result.names == {"p03", "p04"}
    assert len(result.groups) == 1


def test_untestable_sets_are_skipped() -> None:
    tests = CountedTests({"p06"}, broken=lambda names: len(names) in (4, 5))
    assert minimal_set(NAMES, alone, tests).groups == (("p06",),)


@pytest.mark.parametrize("unclear", [Outcome.UNTESTABLE, Outcome.UNDECIDED])
def test_a_group_is_named_if_nothing_inside_it_has_a_clear_outcome(unclear: Outcome) -> None:
    # p03 does not install without p04 to p06, although it does not require them.
    tests = CountedTests(
        {"p05"}, broken=lambda names: 0 < len(names & {"p03", "p04", "p05", "p06"}) < 4, unclear=unclear
    )
    assert minimal_set(NAMES, alone, tests).groups == (("p03", "p04", "p05", "p06"),)


@pytest.mark.parametrize("unclear", [Outcome.UNTESTABLE, Outcome.UNDECIDED])
def test_a_set_whose_parts_have_no_clear_outcome_is_not_known_to_be_minimal(unclear: Outcome) -> None:
    tests = CountedTests({"p02", "p07"}, broken=lambda names: names == {"p07"}, unclear=unclear)
    result = minimal_set(NAMES, alone, tests)
    assert result.names == {"p02", "p07"}
    assert not result.is_minimal
    assert minimal_set(NAMES, alone, CountedTests({"p02", "p07"})).is_minimal


def test_a_single_change_needs_no_test() -> None:
    tests = CountedTests({"p00"})
    assert minimal_set(["p00"], alone, tests).groups == (("p00",),)
    assert tests.sets == []


@pytest.mark.parametrize("first_bad", range(1, 33))
def test_a_boundary_is_found_by_halving(first_bad: int) -> None:
    tested: list[int] = []

    def outcome_of(number: int) -> Outcome:
        tested.append(number)
        return Outcome.BAD if number >= first_bad else Outcome.GOOD

    assert boundary(32, outcome_of) == (first_bad - 1, first_bad)
    assert len(tested) == 5
    assert not {0, 32} & set(tested)


class TestReleases:
    BETWEEN = ("1.1", "1.2", "1.3", "1.4")

    @pytest.mark.parametrize(("bad", "good"), [("1.1", "1.0"), ("1.3", "1.2"), ("2.0", "1.4")])
    def test_the_first_bad_one_and_the_last_good_one_are_neighbours(self, bad: str, good: str) -> None:
        order = ["1.0", *self.BETWEEN, "2.0"]

        def outcome_of(version: str) -> Outcome:
            return Outcome.BAD if order.index(version) >= order.index(bad) else Outcome.GOOD

        result = first_bad_release("1.0", self.BETWEEN, "2.0", outcome_of)
        assert (result.first_bad, result.last_good, result.between) == (bad, good, ())

    @pytest.mark.parametrize("outcome", [Outcome.UNTESTABLE, Outcome.UNDECIDED])
    def test_releases_without_a_clear_outcome_are_listed(self, outcome: Outcome) -> None:
        result = first_bad_release("1.0", self.BETWEEN, "2.0", lambda _: outcome)
        between = tuple((version, outcome) for version in self.BETWEEN)
        assert (result.first_bad, result.last_good, result.between) == ("2.0", "1.0", between)

    def test_a_release_next_to_an_undecided_one_is_not_the_first_bad_one_for_sure(self) -> None:
        outcomes = {"1.1": Outcome.GOOD, "1.2": Outcome.UNDECIDED, "1.3": Outcome.UNTESTABLE, "1.4": Outcome.BAD}
        tested: list[str] = []

        def outcome_of(version: str) -> Outcome:
            tested.append(version)
            return outcomes[version]

        result = first_bad_release("1.0", self.BETWEEN, "2.0", outcome_of)
        assert sorted(tested) == list(self.BETWEEN)
        unknown = (("1.2", Outcome.UNDECIDED), ("1.3", Outcome.UNTESTABLE))
        assert (result.first_bad, result.last_good, result.between) == ("1.4", "1.1", unknown)

    def test_without_releases_between_nothing_is_tested(self) -> None:
        def never(_: str) -> Outcome:
            raise AssertionError

        assert first_bad_release("1.0", (), "2.0", never).first_bad == "2.0"
