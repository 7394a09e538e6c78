"""docs/licences.md names a licence for every package of the tested set."""

from __future__ import annotations

import re
from email.message import Message

import pytest

from pytest_sst2.upgrade.pins import read_pins
from tests.support import ROOT
from tools.release.licences import UNKNOWN, licence_of

PAGE = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\S+) \| (\d\S*) \| (.*) \|$", re.MULTILINE)
ROWS = {name: (version, licence) for name, version, licence in ROW.findall(PAGE)}
# Of other platforms: nobody here can look at them.
ELSEWHERE = {"colorama", "httpx2-jsfetch", "pywin32"}


@pytest.mark.parametrize("file", ["constraints.txt", "requirements.lock"])
def test_every_package_of_the_tested_set_is_listed_in_its_version(file: str) -> None:
    pins = {name: version for name, version in read_pins(ROOT / file).items() if name not in ELSEWHERE}
    assert {name: ROWS.get(name, ("missing",))[0] for name in pins} == pins


def test_no_licence_is_unknown() -> None:
    assert [name for name, (_, licence) in ROWS.items() if licence.strip() in ("", UNKNOWN)] == []


def stating(**fields: str) -> Message:
    about = Message()
    for name, value in fields.items():
        about[name.replace("_", "-")] = value
    return about


@pytest.mark.parametrize(
    ("about", "licence"),
    [
        (stating(License_Expression="MIT", License="BSD"), "MIT"),
        (stating(Classifier="License :: OSI Approved :: MIT License", License="see file"), "MIT License"),
        (stating(Classifier="License :: OSI Approved", License="BSD-3-Clause"), "BSD-3-Clause"),
        (stating(License="Permission is hereby granted, free of charge, to any person obtaining a copy"), UNKNOWN),
        (stating(License="UNKNOWN"), UNKNOWN),
        (stating(), UNKNOWN),
    ],
)
def test_a_licence_is_what_the_package_states_most_exactly(about: Message, licence: str) -> None:
    assert licence_of(about) == licence  # type: ignore[arg-type]
