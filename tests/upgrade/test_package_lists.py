"""What ``--from`` and ``--to`` name: a lock file, a file of a commit, or a baseline with its packages."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
from pathlib import Path

import pytest

from pytest_sst2.results.file import Results, results_text
from pytest_sst2.upgrade import package_lists
from pytest_sst2.upgrade.package_lists import read_packages
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import ENVIRONMENT, make_record

PACKAGES = {"numpy": "2.4.6", "torch": "2.13.0+cpu", "our-tool": "1.0", "pip": "26.0", "pytest-sst2": "0.4.0"}


@pytest.fixture(autouse=True)
def our_tool_is_local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_lists, "installed_pins", lambda: ({}, ("our-tool",)))


def save(path: Path, *packages: dict[str, str], python: str = platform.python_version()) -> None:
    environments = [dataclasses.replace(ENVIRONMENT, python=python, packages=of_cell) for of_cell in packages]
    records = [make_record(cell=f"cell{n}", environment=one) for n, one in enumerate(environments)]
    path.parent.mkdir(exist_ok=True)
    path.write_text(results_text(Results(records, ()), packed=True), encoding="utf-8")


@pytest.mark.parametrize("name", ["main", "main.json", ".sst2/main.json"])
def test_a_baseline_names_the_packages_that_it_was_measured_with(name: str, tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    save(tmp_path / ".sst2" / "main.json", PACKAGES, PACKAGES)
    found = read_packages(name, tmp_path)
    assert found.pins == {"numpy": "2.4.6", "torch": "2.13.0"}
    assert found.left_out == ("our-tool",)
    assert found.notes == ()


def test_another_python_is_said(tmp_path: Path) -> None:
    save(tmp_path / "old.json", PACKAGES, python="3.8.1")
    assert read_packages("old.json", tmp_path).notes == (
        f"old.json was measured with Python 3.8.1, not with {platform.python_version()}",
    )


def test_cells_of_several_environments_name_no_packages(tmp_path: Path) -> None:
    save(tmp_path / "old.json", PACKAGES, {**PACKAGES, "pip": "27.0"}, {**PACKAGES, "numpy": "1.26.4"})
    with pytest.raises(Sst2Error, match="several environments, which differ in numpy"):
        read_packages("old.json", tmp_path)
    save(tmp_path / "old.json")
    with pytest.raises(Sst2Error, match="has no measured cell"):
        read_packages("old.json", tmp_path)


def test_a_lock_file_of_a_commit_is_read_without_a_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        settings = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *settings, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-b", "main")
    lock = tmp_path / "old.txt"
    lock.write_text("numpy==1.26.4\n", encoding="utf-8")
    git("add", ".")
    git("commit", "-m", "Lock")
    lock.write_text("numpy==2.4.6\n", encoding="utf-8")
    found = read_packages("main:old.txt", tmp_path)
    assert found.pins == {"numpy": "1.26.4"}
    assert found.notes[0].startswith("old.txt is read from commit ")
    with pytest.raises(Sst2Error, match=r"has no such file\.$"):
        read_packages("main:uv.lock", tmp_path)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").touch()
    with pytest.raises(Sst2Error, match=r"'uv\.lok' is neither a file here nor a baseline.* Did you mean 'uv\.lock'"):
        read_packages("uv.lok", tmp_path)
    with pytest.raises(Sst2Error, match=r"old\.lock cannot be read: No such file"):
        read_packages("locks/old.lock", tmp_path)
