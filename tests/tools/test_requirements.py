"""What the package says it runs with is what is tried: compat/oldest.txt, constraints.txt."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pytest_sst2.upgrade.pins import read_pins
from tests.support import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [Requirement(text) for text in PROJECT["dependencies"]]
SETS = {name: read_pins(ROOT / "compat" / f"{name}.txt") for name in ("oldest", "transformers4")}
SETS["tested"] = read_pins(ROOT / "constraints.txt")


@pytest.mark.parametrize("name", SETS)
def test_every_set_that_is_tried_is_one_that_the_package_allows(name: str) -> None:
    for requirement in REQUIREMENTS:
        version = SETS[name].get(canonicalize_name(requirement.name))
        assert version is None or requirement.specifier.contains(version), f"{name}: {requirement}, {version}"


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_the_lowest_bound_is_one_that_is_tried(requirement: Requirement) -> None:
    (bound,) = [each for each in requirement.specifier if each.operator == ">="]
    tried = SETS["oldest"][canonicalize_name(requirement.name)]
    if requirement.name != "torch":  # whose oldest releases bring several gigabytes for other devices
        assert Version(tried).release[:2] == Version(bound.version).release[:2]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_all_that_is_required_is_pinned_in_the_tested_set(requirement: Requirement) -> None:
    assert canonicalize_name(requirement.name) in SETS["tested"]


def test_torch_is_pinned_alike_everywhere() -> None:
    assert len({pins["torch"] for pins in SETS.values()}) == 1
