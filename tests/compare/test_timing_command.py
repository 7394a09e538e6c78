"""The command that times both sides of a comparison again, from what their results record."""

from __future__ import annotations

import dataclasses

from pytest_sst2.compare.timing_command import timing_command
from pytest_sst2.results.commit import Commit
from pytest_sst2.results.file import Results
from tests.support.record_factory import ENVIRONMENT, make_record


def results(origin: str, saved: str, commit: str = "a", **packages: str) -> Results:
    environment = dataclasses.replace(ENVIRONMENT, packages={"numpy": "2.4.6", **packages})
    return Results([make_record(environment=environment, commit=Commit(commit * 40))], [], saved, origin)


OLD = results("main", "2026-08-01")


def test_other_packages_and_commits_are_both_timed() -> None:
    assert timing_command(OLD, results("", "", numpy="2.5.0")) == "pytest-sst2 upgrade --from main --time 10%"
    command = timing_command(OLD, results("", "", "b", numpy="2.5.0"))
    assert command == "pytest-sst2 upgrade --from main --from-ref aaaaaaaaa --time 10%"


def test_two_saved_results_are_both_named_in_the_words_of_a_shell() -> None:
    old, new = dataclasses.replace(OLD, origin="main:our file.json"), results("new.json", "2026-08-02", numpy="2.5.0")
    assert timing_command(old, new) == "pytest-sst2 upgrade --from 'main:our file.json' --to new.json --time 10%"


def test_other_commits_are_timed_if_the_packages_are_the_same() -> None:
    new = results("", "", "b", pip="26.0")
    assert timing_command(OLD, new) == "pytest-sst2 upgrade --from-ref aaaaaaaaa --time 10%"


def test_what_would_time_the_same_twice_is_no_command() -> None:
    assert timing_command(OLD, results("", "")) == ""
    assert timing_command(results("before", ""), results("after", "", numpy="2.5.0")) == ""
