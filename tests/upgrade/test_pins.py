"""Pins of lock files and of this environment, requirements, and differences between sets of pins."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

import pytest

from pytest_sst2.upgrade.pins import (
    VersionChange,
    changes_between,
    installed_pins,
    lock_of_lines,
    public_version,
    read_pins,
    read_requirements,
)
from pytest_sst2.utils.errors import Sst2Error

LOCK = """\ufeff# by some tool
--index-url https://example.invalid/simple
Torch == 2.13.0
numpy==2.4.6 \\
    --hash=sha256:00 \\
    --hash=sha256:11
huggingface_hub[cli]==2.4.0  # via transformers
tomli==2.0 ; python_version < "3.0"
typing.extensions===4.12 ; python_version >= "3.0"

-c constraints.txt
"""


def lock(folder: Path, text: str) -> Path:
    path = folder / "lock.txt"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_lock_file_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    assert read_pins(lock(tmp_path, LOCK)) == {
        "torch": "2.13.0",
        "numpy": "2.4.6",
        "huggingface-hub": "2.4.0",
        "typing-extensions": "4.12",
    }


def test_what_freeze_writes_of_this_package_and_of_installers_is_left_out(tmp_path: Path) -> None:
    text = "pytest-sst2 @ file:///somewhere\npytest_sst2==0.1\npip==24.0\n-e .\ntorch==2.13.0+cpu\n"
    assert read_pins(lock(tmp_path, text)) == {"torch": "2.13.0+cpu"}


def test_what_comes_from_a_folder_a_repository_or_an_address_is_named() -> None:
    text = """
-e git+https://git.example/our.git@0a1b#egg=our-tool
--editable /home/me/app
numpy @ file:///croot/numpy/work ; python_version > "3"
./wheels/x-1.0-py3-none-any.whl --hash=sha256:00
https://me:password@example.invalid/y-2.0-py3-none-any.whl?token=secret
scipy==1.17
pywin32 @ https://example.invalid/z.whl ; sys_platform == "nowhere"
"""
    found = lock_of_lines(text, "old.txt")
    assert found.pins == {"scipy": "1.17"}
    assert found.left_out == ("app", "numpy", "our-tool", "x-1.0-py3-none-any.whl", "y-2.0-py3-none-any.whl")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("numpy>=2\n", "line 1: 'numpy>=2' pins no version"),
        ("a==1\nnumpy\n", "line 2: 'numpy' pins no version"),
        ("numpy==2.*\n", "pins no version"),
        ("numpy @ https://a.b/c.whl\n", "pins no package"),
        ("what is this\n", "'what is this' is not a requirement"),
        ("numpy=1.26.4=py311_0\n", "Of other environments, such as conda's, write one"),
        ("a==1\n-r base.txt\n", "line 2: '-r base.txt' names another file"),
        ("a==1\nA==2\n", "line 2: 'A==2' pins A a second time"),
        ("# nothing\n", "pins no package"),
        ("", "pins no package"),
    ],
)
def test_a_line_that_pins_nothing_is_a_sentence_with_its_number(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(Sst2Error) as caught:
        read_pins(lock(tmp_path, text))
    assert error in str(caught.value)
    assert "lock.txt" in str(caught.value)


def test_a_pipe_is_a_sentence_and_no_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(Sst2Error, match="not a regular file but a pipe, a socket or a device"):
            read_pins(path)


def test_a_file_that_is_not_there_or_no_text_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name in ("nowhere", "bytes", "."):
        with pytest.raises(Sst2Error, match=r"cannot be read|is UTF-16 text"):
            read_pins(tmp_path / name)


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        (["transformers=5"], "'transformers=5' is not a requirement"),
        ([""], "'' is not a requirement"),
        (["pytest_sst2==1.0"], "pytest-sst2 itself is the same in both"),
        (["numpy>1", "NumPy<3"], "numpy is named twice"),
        (["a @ git+https://b.c/d"], "names an address"),
    ],
)
def test_what_is_no_requirement_is_a_sentence(typed: list[str], error: str) -> None:
    with pytest.raises(Sst2Error) as caught:
        read_requirements(typed)
    assert error in str(caught.value)


def test_changes_are_what_differs_by_name_and_the_runner_is_none() -> None:
    before = {"a": "1", "b": "1", "gone": "3", "pytest-sst2": "1"}
    after = {"a": "2", "b": "1", "new": "4", "pytest-sst2": "2"}
    changes = changes_between(before, after)
    assert changes == (VersionChange("a", "1", "2"), VersionChange("gone", "3", None), VersionChange("new", None, "4"))
    assert [str(change) for change in changes] == ["a 1 → 2", "gone 3 (gone)", "new 4 (new)"]


def test_what_is_installed_here_is_pinned_without_the_label_of_a_build() -> None:
    pins, local = installed_pins()
    assert not set(pins) & {"pip", "setuptools", "pytest-sst2"}
    assert "+" not in pins["torch"]
    assert pins["pytest"] == pytest.__version__
    assert not set(pins) & set(local)


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        (None, False),
        ('{"url": "https://index.invalid/here-1.0.whl", "archive_info": {}}', False),
        ('{"url": "file:///home/me/here", "dir_info": {"editable": true}}', True),
        ('{"url": "https://code.invalid/here", "vcs_info": {"vcs": "git"}}', True),
        ("{", True),
        ("[]", True),
    ],
)
def test_what_came_from_a_folder_or_a_repository_is_named_and_not_pinned(
    address: str | None, is_local: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "here-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Name: here\nVersion: 1.0\n", encoding="utf-8")
    if address is not None:
        (about / "direct_url.json").write_text(address, encoding="utf-8")
    monkeypatch.setattr(metadata, "distributions", lambda: [metadata.Distribution.at(about)])
    assert installed_pins() == (({}, ("here",)) if is_local else ({"here": "1.0"}, ()))


@pytest.mark.parametrize(("text", "public"), [("2.13.0+cpu", "2.13.0"), ("1.0rc1", "1.0rc1"), ("odd", "odd")])
def test_a_label_of_a_build_is_left_aside(text: str, public: str) -> None:
    assert public_version(text) == public
