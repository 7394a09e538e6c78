"""No home folder, one that is a file, one that may only be read: a run that needs none of it is made all the same."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error

NOT_CACHED = "*embeddings are not cached for the next run: *"


@pytest.fixture
def without_home(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave this user without a home folder, as in a container with an unknown user id."""
    pwd = pytest.importorskip("pwd")

    def unknown(uid: object) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("PYTEST_SST2_CACHE")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(RuntimeError):
        Path.home()


@pytest.mark.usefixtures("without_home")
class TestNoHome:
    def test_cells_are_measured_and_one_note_says_that_embeddings_are_not_kept(self, project: pytest.Pytester) -> None:
        result = project.runpytest_inprocess("--methods=majority,linear-probe", "--sst2-seeds=1,2")
        result.assert_outcomes(passed=4)
        assert result.ret == 0
        result.stdout.fnmatch_lines([f"{NOT_CACHED}(*seed 1, *seed 2)"])
        assert [path.name for path in project.path.iterdir() if "~" in path.name] == []

    @pytest.mark.parametrize(
        "option", ["--sst2-json", "--sst2-resume", "--sst2-report", "--sst2-floors", "--sst2-data", "--models"]
    )
    def test_a_path_in_it_is_refused_in_a_sentence(self, option: str, project: pytest.Pytester) -> None:
        result = project.runpytest_inprocess("--methods=majority", f"{option}=~/x")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        told = [line for line in result.errlines if line.startswith("ERROR: ")]
        assert len(told) == 1
        assert "~/x" in told[0]
        assert "Traceback" not in result.stderr.str()

    def test_a_cache_in_it_is_none(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_SST2_CACHE", "~/cache")
        result = project.runpytest_inprocess("--methods=linear-probe")
        assert result.ret == 0
        result.stdout.fnmatch_lines([NOT_CACHED])
        assert [path.name for path in project.path.iterdir() if "~" in path.name] == []


def test_a_home_that_is_a_file_costs_the_cache_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("a file", encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PYTEST_SST2_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    result = project.runpytest_inprocess("--methods=majority,linear-probe")
    assert result.ret == 0
    result.stdout.fnmatch_lines([NOT_CACHED])
    assert (tmp_path / "home").read_text(encoding="utf-8") == "a file"


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let a folder be read only for the body, also by root, as a file system of its own."""
    bind = ["mount", "--bind", str(folder), str(folder)]
    try:
        subprocess.run(bind, check=True, capture_output=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no file system may be mounted here; that takes root on Linux")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.processes
def test_home_and_project_that_may_only_be_read_cost_the_cache_alone(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project.path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.delenv("PYTEST_SST2_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    before = sorted(project.path.rglob("*"))
    command = [sys.executable, "-m", "pytest", "-q", "--methods=majority,tfidf,linear-probe"]
    with read_only(project.path):
        done = subprocess.run(command, cwd=project.path, capture_output=True, text=True, timeout=240)
        refused = subprocess.run([*command, "--sst2-json=r.json"], cwd=project.path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("embeddings are not cached for the next run: ") == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert refused.returncode == 4
    assert "--sst2-json" in refused.stderr
    assert "is not a writable folder" in refused.stderr
    assert sorted(project.path.rglob("*")) == before


def test_a_cache_without_a_place_says_so_and_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home(_path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", no_home)
    monkeypatch.setenv("PYTEST_SST2_CACHE", "~/cache")
    with pytest.raises(Sst2Error, match="PYTEST_SST2_CACHE"):
        cache_folder()
    cache = EmbeddingCache(None, 1000, "no place")
    cache.put("0" * 64, np.zeros((1, 2), dtype=np.float32))
    assert cache.get("0" * 64, 1) is None
    assert (cache.size_bytes(), cache.clear(), cache.problem) == (0, 0, "no place")
