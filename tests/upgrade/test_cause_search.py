"""What is searched if both packages and commits change."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_sst2.upgrade.ab_run import Sides
from pytest_sst2.upgrade.cause_search import CauseSearch
from pytest_sst2.upgrade.checkouts import Checkout
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.observer import Observation
from pytest_sst2.upgrade.pins import VersionChange

GOOD, BAD, UNTESTABLE = Outcome.GOOD, Outcome.BAD, Outcome.UNTESTABLE


class FakeObserver:
    symptom = "`pytest` ends with status 1"
    remedy = ""

    def __init__(self, outcomes: Mapping[str, Outcome]) -> None:
        self.outcomes = {"old-a": GOOD, "new-b": BAD, **outcomes}

    def observe(self, environment: BuiltEnvironment, *, repeated: bool = False) -> Observation:
        return Observation(self.outcomes[environment.key])


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        ({"old-b": BAD}, ["commits with old"]),
        ({"old-b": GOOD, "new-a": BAD}, ["packages at a"]),
        ({"old-b": GOOD, "new-a": UNTESTABLE}, ["packages at b"]),
        ({"old-b": GOOD, "new-a": GOOD}, ["a commit and a package ", "packages at b", "commits with new"]),
        ({"old-b": UNTESTABLE, "new-a": BAD}, ["packages at a"]),
        ({"old-b": UNTESTABLE, "new-a": GOOD}, ["commits with new"]),
        ({"old-b": UNTESTABLE, "new-a": UNTESTABLE}, ["no cause: neither commit can be judged"]),
        ({"new-b": GOOD}, ["no cause: measured again, the later environment is good, not bad as before"]),
        ({"old-a": BAD}, ["no cause: measured again, the earlier environment is bad, not good as before"]),
    ],
)
def test_the_ends_crossed_tell_what_to_search(
    outcomes: Mapping[str, Outcome], found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (Checkout(name, tmp_path, tmp_path, (), tmp_path) for name in "ab")
    old, new = (BuiltEnvironment(tmp_path / name, {}, 0.0) for name in ("old", "new"))
    sides = Sides(old.at(a), new.at(b), (VersionChange("culprit", "1.0", "2.0"),), (), "python", "python")
    search = CauseSearch(sides, None, None, lambda _: None, releases=False, named=())
    monkeypatch.setattr(CauseSearch, "_commits", lambda _, __, with_: [f"commits with {with_.folder.name}"])
    monkeypatch.setattr(CauseSearch, "_packages", lambda _, __, checkout: [f"packages at {checkout.sha}"])
    lines = search.lines(FakeObserver(outcomes))
    assert all(line.startswith(start) for line, start in zip(lines, found, strict=True))
