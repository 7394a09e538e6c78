"""requirements.lock is the tested set: the versions of constraints.txt, each file by its hash, and torch apart."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_sst2.upgrade.pins import read_pins
from tests.support import ROOT
from tests.tools.test_requirements import PROJECT
from tools.release.lock import EXTRAS, OF_TORCHS_BUILD

TEXT = (ROOT / "requirements.lock").read_text(encoding="utf-8")
ENTRIES = re.findall(r"^(\w\S*)==(\S+)(.*\n(?:[ ]+.*\n)*)", TEXT, re.MULTILINE)
LOCKED = {canonicalize_name(name): version for name, version, _ in ENTRIES}
# Of tools that tox installs beside the extras.
NOT_OF_AN_EXTRA = {"coverage", "matplotlib", "mutmut"}


def test_every_pin_of_the_tested_set_is_locked_in_the_same_version() -> None:
    pins = {name: version for name, version in read_pins(ROOT / "constraints.txt").items() if name != "torch"}
    wanted = {name: version for name, version in pins.items() if name not in NOT_OF_AN_EXTRA}
    assert {name: LOCKED.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_all_that_the_package_and_its_extras_require_is_locked(extra: str) -> None:
    texts = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    names = {canonicalize_name(Requirement(text).name) for text in texts} - {"torch"}
    assert names <= set(LOCKED)


def test_every_entry_has_hashes_and_nothing_but_entries_is_there() -> None:
    for name, _, rest in ENTRIES:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", rest), name
    lines = [line for line in TEXT.splitlines() if not line.startswith("#")]
    hashes = [line for line in lines if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)]
    assert len(hashes) + len(ENTRIES) == len(lines)


def test_torch_and_what_its_build_for_a_device_brings_are_left_to_the_platform() -> None:
    assert [name for name in LOCKED if OF_TORCHS_BUILD.fullmatch(name)] == []


def test_no_server_is_named() -> None:
    assert re.search(r"://|--(extra-)?index-url|--find-links|--trusted-host", TEXT) is None
