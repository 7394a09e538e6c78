"""Commits are compared in the environment of this process only if their modules are imported from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_sst2.upgrade.checkouts import Checkout
from pytest_sst2.upgrade.installed_here import InstalledProject, check_imports, installed_here
from pytest_sst2.utils.errors import Sst2Error


def test_a_module_that_is_not_imported_from_the_commit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "own.py").touch()
    commit = Checkout("a" * 40, tmp_path, tmp_path, (tmp_path / "src", tmp_path), tmp_path / "repository")
    check_imports([InstalledProject(Path(), ("own", "no_module_of_this_name"))], installed_here(), commit)
    with pytest.raises(Sst2Error, match=r"Python imports pytest from .*, not from the files of a commit"):
        check_imports([InstalledProject(Path(), ("own", "pytest"))], installed_here(), commit)
