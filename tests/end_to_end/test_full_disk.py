"""A disk that is full when a run writes: what was there stays, nothing is half written, the numbers are printed."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.report.write import NAMES, STEP_SUMMARY
from pytest_sst2.utils import atomic_write as files
from pytest_sst2.utils.errors import Sst2Error

# What is free in a file's last block can be written also on a full disk.
BLOCK_BYTES = 4096
FULL = os.strerror(errno.ENOSPC)
Fill = Callable[[], None]


@pytest.fixture(
    params=[pytest.param("a file system of 2 MB", marks=pytest.mark.processes), "what the system says of one"]
)
def disk(
    request: pytest.FixtureRequest, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, Fill]]:
    """A folder, and what leaves no room in it: really, where a file system may be mounted, and by what fsync says."""
    folder = project.path / "disk"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        if request.param.startswith("a file system"):
            _mount(folder, stack)
            yield folder, lambda: _fill(folder)
        else:
            yield folder, lambda: monkeypatch.setattr(os, "fsync", _no_space)


def _mount(folder: Path, stack: contextlib.ExitStack) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system may be mounted here; that takes root on Linux")
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass


def _no_space(_handle: int) -> None:
    raise OSError(errno.ENOSPC, FULL)


def content(folder: Path) -> dict[str, bytes]:
    """Return what all files below a folder hold."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "filler"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    asked = ["--methods=majority,linear-probe", "--sst2-seeds=1,2,3,4,5", "--sst2-save=main", "--sst2-overwrite"]
    asked += ["--sst2-json=disk/r.json", "--sst2-calibrate-floors", "--sst2-floors=disk/floors.toml"]
    return project.runpytest_inprocess(*asked, "--sst2-report=disk/report", *arguments)


def test_a_run_keeps_what_was_there_tells_of_each_file_and_prints_its_numbers(
    project: pytest.Pytester, disk: tuple[Path, Fill], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, fill = disk
    monkeypatch.setenv(STEP_SUMMARY, str(folder / "summary.md"))
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(folder / "cache"))
    (folder / "baselines").mkdir()
    (project.path / ".sst2").symlink_to(folder / "baselines")
    assert run(project).ret == 0
    with (folder / "summary.md").open("ab") as file:
        file.write(b"\n" * (-file.tell() % BLOCK_BYTES))
    before = content(folder)
    names = {"r.json", "floors.toml", "baselines/main.json", "summary.md", *(f"report/{name}" for name in NAMES)}
    assert names < before.keys()
    assert any(name.startswith("cache/") for name in before)

    fill()
    result = run(project, "--sst2-max-length=5")  # another recipe: every file would be another
    assert content(folder) == before
    assert result.ret == 1
    result.assert_outcomes(passed=10)
    lines = result.outlines
    for name in ("r.json", "floors.toml", "baselines/main.json", f"report/{NAMES[0]}"):
        path = str((folder / name).resolve())
        told = [line for line in lines if f"{path}'" in line or f"{path}.before'" in line]
        assert len(told) == 1, (name, lines)
        assert FULL in told[0]
        assert "What was there is unchanged." in told[0]
    assert sum(f"the job summary {folder / 'summary.md'}" in line and FULL in line for line in lines) == 1
    assert (
        sum(f"embeddings are not cached for the next run: '{folder / 'cache'}' cannot" in line for line in lines) == 1
    )
    seeds = [line for line in lines if ": seed 1 0." in line]
    assert sum(line.count(" 0.") for line in seeds) == 10, "the numbers are not lost"
    result.stdout.no_fnmatch_line("*Traceback*")


def test_the_page_of_the_history_is_not_begun(
    project: pytest.Pytester, disk: tuple[Path, Fill], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, fill = disk
    project.runpytest_inprocess("--methods=majority", "--sst2-save=main")
    capsys.readouterr()
    fill()
    assert main(["history", "-o", str(folder)]) == 2
    assert FULL in capsys.readouterr().err
    assert content(folder) == {}


class TestTemporaryFiles:
    @pytest.fixture
    def none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No folder for temporary files: each that the system names is full, or may not be written."""

        def no_candidate() -> str:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp', '/var/tmp']")

        monkeypatch.setattr(tempfile, "gettempdir", no_candidate)

    @pytest.mark.usefixtures("none")
    def test_where_there_is_no_folder_for_them_a_sentence_says_what_to_set(self) -> None:
        remedy = r"Set TMPDIR to a writable folder with a few MB free\."
        with pytest.raises(Sst2Error, match=remedy), files.scratch_folder():
            pass

    def test_where_none_can_be_made_in_it_a_sentence_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object, **__: object) -> str:
            raise OSError(errno.ENOSPC, FULL)

        monkeypatch.setattr(tempfile, "mkdtemp", full)
        with pytest.raises(Sst2Error, match=f"{FULL}.* Set TMPDIR"), files.scratch_folder():
            pass

    def test_a_cell_tells_it_without_a_traceback(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> str:
            raise OSError(errno.ENOSPC, FULL)

        monkeypatch.setattr("pytest_sst2.utils.atomic_write.tempfile.TemporaryDirectory", full)
        result = project.runpytest_inprocess("--methods=fine-tune,tfidf")
        result.assert_outcomes(failed=2)
        assert result.ret == 1
        result.stdout.fnmatch_lines(["*tiny-encoder × fine-tune seed 42: a temporary folder cannot be created in *"])
        result.stdout.no_fnmatch_line("*Traceback*")
        result.stdout.no_fnmatch_line("*During handling*")
