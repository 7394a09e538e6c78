"""The version."""

from __future__ import annotations

import tomllib

import pytest_sst2
from tests.support import ROOT


def test_the_package_has_the_version_of_its_metadata() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert pytest_sst2.__version__ == project["version"]
