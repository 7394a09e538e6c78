"""Atomic writing: all of a file or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_sst2.utils.atomic_write import check_writable, write_atomically
from pytest_sst2.utils.errors import Sst2Error

needs_posix = pytest.mark.skipif(os.name != "posix", reason="modes, pipes and file size limits are POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refusal(path: Path, text: str = "new", *, overwrite: bool = True) -> str:
    with pytest.raises(Sst2Error) as caught:
        write_atomically(path, text, overwrite=overwrite)
    return str(caught.value)


def without_links(self: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_file_is_written_as_utf8_with_plain_newlines(tmp_path: Path) -> None:
    write_atomically(tmp_path / "results.json", "déjà vu\nΔ\n")
    assert (tmp_path / "results.json").read_bytes() == "déjà vu\nΔ\n".encode()


def test_missing_folders_are_created(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "results.json", "new")
    assert (tmp_path / "a" / "b" / "results.json").read_text(encoding="utf-8") == "new"


def test_a_relative_path_starts_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_atomically(Path("results.json"), "new")
    assert (tmp_path / "results.json").read_text(encoding="utf-8") == "new"


def test_a_reader_in_the_middle_of_the_old_file_reads_it_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old and whole", encoding="utf-8")
    with path.open(encoding="utf-8") as reader:
        assert reader.read(3) == "old"
        write_atomically(path, "new")
        assert reader.read() == " and whole"
    assert path.read_text(encoding="utf-8") == "new"


@pytest.mark.parametrize("name", ["results.json", "odd [1] *.json"])
def test_scratch_files_of_killed_writers_are_removed_after_an_hour(tmp_path: Path, name: str) -> None:
    names = (f".{name}.old.part", f".{name}.young.part", ".other.json.old.part", f"{name}.old.part")
    old, young, of_another, visible = (tmp_path / file for file in names)
    for path in (old, young, of_another, visible):
        path.write_text("half", encoding="utf-8")
        if path != young:
            os.utime(path, (time.time() - 3700,) * 2)
    write_atomically(tmp_path / name, "new")
    assert [path.exists() for path in (old, young, of_another, visible)] == [False, True, True, True]


class TestNotOverwriting:
    def test_a_new_file_is_written_and_nothing_else_left(self, tmp_path: Path) -> None:
        write_atomically(tmp_path / "main.json", "new", overwrite=False)
        assert (tmp_path / "main.json").read_text(encoding="utf-8") == "new"
        assert [path.name for path in tmp_path.iterdir()] == ["main.json"]
        assert (tmp_path / "main.json").stat().st_nlink == 1

    @pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
    def test_an_existing_file_is_unchanged(self, tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        if not links:
            monkeypatch.setattr(Path, "hardlink_to", without_links)
        path = tmp_path / "main.json"
        path.write_text("old", encoding="utf-8")
        assert "exists" in refusal(path, overwrite=False)
        assert path.read_text(encoding="utf-8") == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["main.json"]

    def test_without_hard_links_a_new_file_is_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Path, "hardlink_to", without_links)
        write_atomically(tmp_path / "main.json", "new", overwrite=False)
        assert (tmp_path / "main.json").read_text(encoding="utf-8") == "new"
        assert [path.name for path in tmp_path.iterdir()] == ["main.json"]

    def test_of_two_writers_the_first_wins(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "main.json"
        real = os.fsync

        def another_writer(handle: int) -> None:
            real(handle)
            path.write_text("theirs", encoding="utf-8")

        monkeypatch.setattr(os, "fsync", another_writer)
        assert "exists" in refusal(path, overwrite=False)
        assert path.read_text(encoding="utf-8") == "theirs"


def test_no_other_file_is_left_in_the_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "results.json", "new")
    write_atomically(tmp_path / "results.json", "newer")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@contextlib.contextmanager
def full_disk(free_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond ``free_bytes``."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@needs_posix
def test_a_disk_that_fills_up_leaves_the_old_file_whole_and_no_half_of_the_new(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    with full_disk(free_bytes=1000), pytest.raises(Sst2Error) as caught:
        write_atomically(path, 10_000 * "new")
    assert [part for part in [str(path), "cannot write", "unchanged"] if part not in str(caught.value)] == []
    assert path.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_an_interrupt_leaves_the_old_file_whole_and_no_half_of_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert path.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_the_text_is_on_the_disk_before_it_takes_the_targets_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, bool]] = []
    real = os.fsync

    def watch(handle: int) -> None:
        seen.append((os.fstat(handle).st_size, (tmp_path / "results.json").exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", watch)
    write_atomically(tmp_path / "results.json", "new")
    assert seen == [(3, False)]


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").mkdir()
    assert str(tmp_path / "results.json") in refusal(tmp_path / "results.json")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file", encoding="utf-8")
    assert "cannot write" in refusal(tmp_path / "results" / "results.json")
    assert (tmp_path / "results").read_text(encoding="utf-8") == "a file"


@needs_posix
@pytest.mark.parametrize(("umask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_that_open_would_give_it(tmp_path: Path, umask: int, expected: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "results.json", "new")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert mode(tmp_path / "results.json") == expected


@needs_posix
def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o600)
    write_atomically(path, "new")
    assert mode(path) == 0o600


@needs_posix
def test_a_link_stays_a_link_and_the_file_behind_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "real.toml").write_text("old", encoding="utf-8")
    (tmp_path / "floors.toml").symlink_to(tmp_path / "real.toml")
    write_atomically(tmp_path / "floors.toml", "new")
    assert (tmp_path / "floors.toml").is_symlink()
    assert (tmp_path / "real.toml").read_text(encoding="utf-8") == "new"


@needs_posix
def test_a_pipe_or_device_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    with contextlib.suppress(Sst2Error):
        check_writable(pipe, "--sst2-json")
        write_atomically(pipe, "new")
    os.close(reader)
    assert pipe.is_fifo()


def test_a_text_that_cannot_be_encoded_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old", encoding="utf-8")
    # Python's text for a folder name that is not UTF-8.
    assert "cannot write" in refusal(path, "models/caf\udce9")
    assert path.read_text(encoding="utf-8") == "old"


def test_check_writable_creates_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder" / "results.json", "--sst2-json")
    assert list(tmp_path.iterdir()) == []


def test_check_writable_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Sst2Error) as caught:
        check_writable(tmp_path, "--sst2-json")
    assert [part for part in ["--sst2-json", str(tmp_path), "name a file in it"] if part not in str(caught.value)] == []


def test_check_writable_refuses_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file", encoding="utf-8")
    with pytest.raises(Sst2Error) as caught:
        check_writable(tmp_path / "results" / "deep" / "results.json", "--sst2-json")
    assert f"{str(tmp_path / 'results')!r} is not a writable folder" in str(caught.value)


@needs_posix
def test_check_writable_refuses_a_read_only_folder(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(Sst2Error, match="not a writable folder"):
            check_writable(tmp_path / "results.json", "--sst2-json")
        assert "unchanged" in refusal(tmp_path / "results.json")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 260, "the name has more than 255 bytes"),
        ("é" * 130, "the name has more than 255 bytes"),
        (f"{'x' * 260}/r.json", "the name has more than 255 bytes"),
        ("itself/r.json", "Too many levels of symbolic links"),
        ("itself", "Too many levels of symbolic links"),
        ("nothing/r.json", "the folder is a link to nothing"),
    ],
)
def test_check_writable_refuses_a_name_that_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "nothing").symlink_to("nowhere")
    with pytest.raises(Sst2Error, match=f"^--sst2-json '.*' cannot be written: .*: {reason}"):
        check_writable(tmp_path / name, "--sst2-json")


def test_the_longest_name_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    check_writable(path, "--sst2-json")
    write_atomically(path, "text")
    assert path.read_text(encoding="utf-8") == "text"
    assert len(list(tmp_path.iterdir())) == 1


def test_check_writable_refuses_another_users_file_in_a_folder_that_all_users_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.json"
    path.write_text("theirs", encoding="utf-8")
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Sst2Error, match="belongs to another user"):
        check_writable(path, "--sst2-json")
    check_writable(tmp_path / "other.json", "--sst2-json")
