"""requirements.lock and docs/licences.csv fit constraints.txt and pyproject.toml."""

from __future__ import annotations

import csv
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_sst2.upgrade.pins import read_pins
from tests.support import ROOT
from tests.tools.test_requirements import PROJECT

TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^(\w\S*)==(\S+)", TEXT, re.MULTILINE))
EXTRAS = sorted({*PROJECT["optional-dependencies"]} - {"deberta", "int8"})
# Tools that tox installs without an extra.
WITHOUT_EXTRA = {"coverage", "matplotlib", "mutmut", "pip-licenses"}
LICENCES = (ROOT / "docs" / "licences.csv").read_text(encoding="utf-8")
ROWS = list(csv.reader(LICENCES.splitlines()))[1:]


def test_every_pin_is_locked_in_the_same_version() -> None:
    pins = {name: version for name, version in read_pins(ROOT / "constraints.txt").items() if name != "torch"}
    wanted = {name: version for name, version in pins.items() if name not in WITHOUT_EXTRA}
    assert {name: LOCKED.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_requirements_of_every_extra_are_locked(extra: str) -> None:
    texts = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = {canonicalize_name(Requirement(text).name) for text in texts} - {"torch"}
    assert names <= set(LOCKED)


def test_every_package_has_hashes() -> None:
    packages = re.split(r"^(?=\w)", TEXT, flags=re.MULTILINE)[1:]
    assert [package for package in packages if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", package)] == []


def test_torch_and_its_build_for_cuda_are_not_locked() -> None:
    assert [name for name in LOCKED if re.fullmatch(r"torch|triton|cuda-.*|nvidia-.*", name)] == []


def test_the_lock_names_no_index() -> None:
    assert re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", TEXT) is None


def test_every_pinned_package_has_a_licence() -> None:
    licences = {canonicalize_name(name): (version, licence) for name, version, licence in ROWS}
    for name, version in read_pins(ROOT / "constraints.txt").items():
        if name != "pip-licenses":
            assert licences[name][0] == version
    # Its metadata state none; the licence in its wheel is MIT.
    assert [name for name, (_, licence) in licences.items() if licence == "UNKNOWN"] == ["axe-playwright-python"]
