"""Baselines of a commit, and the commit of a run, in real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pytest_sst2.results.baselines import load_results
from pytest_sst2.results.commit import Commit, commit_of, commits_label
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.results.git_baseline import ref_and_path
from pytest_sst2.utils.errors import Sst2Error
from tests.support.record_factory import make_record

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


def run(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a repository with a baseline in its folder ``app``."""
    folder = tmp_path_factory.mktemp("origin")
    (folder / "app" / ".sst2").mkdir(parents=True)
    (folder / "app" / ".sst2" / "main.json").write_text(
        results_text(Results([make_record()]), packed=True), encoding="utf-8"
    )
    (folder / ".gitignore").write_text("ignored/\n", encoding="utf-8")
    for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "one")):
        run(folder, *arguments)
    return folder


@pytest.fixture
def clone(origin: Path, tmp_path: Path) -> Path:
    run(tmp_path, "clone", "-q", "--depth=1", origin.as_uri(), "clone")
    return tmp_path / "clone"


def refusal(folder: Path, name: str) -> str:
    with pytest.raises(Sst2Error) as caught:
        load_results(folder, folder, name)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("origin/main:.sst2/main.json", ("origin/main", ".sst2/main.json")),
        ("HEAD~2:a:b.json", ("HEAD~2", "a:b.json")),
        ("main@{2026-08-01 12:00}:a.json", ("main@{2026-08-01 12:00}", "a.json")),
        ("v:a.json", ("v", "a.json")),
        *(
            (path, None)
            for path in ("main", "./a:b.json", "../a:b", "/a:b", "~/a:b", "C:\\a.json", "C:/a.json", "-x:a")
        ),
        *((path, None) for path in (":a", "a:", "")),
    ],
)
def test_a_ref_is_told_from_a_path(name: str, parts: tuple[str, str] | None) -> None:
    assert ref_and_path(name) == parts


class TestReading:
    def test_a_changed_file_of_the_working_tree_is_not_compared_and_named(self, clone: Path) -> None:
        ours = clone / "app" / ".sst2" / "main.json"
        ours.write_text(results_text(Results([make_record(seed=7)])), encoding="utf-8")
        sha = run(clone, "rev-parse", "--short=9", "HEAD")
        for folder, path in (
            (clone, "app/.sst2/main.json"),
            (clone / "app", ".sst2/main.json"),
            (clone / "app", "./.sst2/main.json"),
        ):
            results = load_results(folder, folder, f"origin/main:{path}")
            assert [record.seed for record in results.records] == [42]
            assert results.origin == f"origin/main:{path}"
            assert results.notes == (
                f"app/.sst2/main.json is read from commit {sha}",
                "app/.sst2/main.json differs between origin/main and the working tree; origin/main's is used",
            )
        ours.unlink()
        assert len(load_results(clone, clone, "HEAD:app/.sst2/main.json").notes) == 1

    def test_the_same_file_with_other_line_ends_is_not_another(self, clone: Path) -> None:
        ours = clone / "app" / ".sst2" / "main.json"
        ours.write_bytes(ours.read_bytes().replace(b"\n", b"\r\n"))
        assert len(load_results(clone, clone, "HEAD:app/.sst2/main.json").notes) == 1

    def test_each_mistake_is_one_sentence(self, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        sha = run(clone, "rev-parse", "--short=9", "HEAD")
        assert refusal(clone, "HEAD:app/.sst2/mian.json") == (
            f"'HEAD:app/.sst2/mian.json': commit {sha} has no such file. Its baselines are app/.sst2/main.json."
        )
        assert refusal(clone, "HEAD:app").endswith("has a folder of that name, not a file.")
        assert "not a results file" in refusal(clone, "HEAD:.gitignore")
        assert (
            "because the clone is shallow. Fetch it: git fetch --depth=1 origin other:refs/remotes/origin/other."
            in (refusal(clone, "origin/other:a.json"))
        )
        assert refusal(clone, "nope:a.json").endswith("If it is a file, write ./nope:a.json.")
        assert "is not in a git repository" in refusal(tmp_path, "main:a.json")
        with monkeypatch.context() as patch:
            patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
            assert "safe.directory" in refusal(clone, "main:a.json")
        monkeypatch.setenv("PATH", "")
        assert "git is not installed" in refusal(clone, "main:a.json")


class TestCommit:
    def test_changes_of_tracked_files_make_it_dirty_and_baselines_do_not(self, clone: Path) -> None:
        sha = run(clone, "rev-parse", "HEAD")
        (clone / "app" / ".sst2" / "main.json").write_text("", encoding="utf-8")
        (clone / "new.txt").write_text("", encoding="utf-8")
        assert commit_of(clone / "app") == Commit(sha, dirty=False)
        (clone / ".gitignore").write_text("", encoding="utf-8")
        assert commit_of(clone / "app") == Commit(sha, dirty=True)
        assert str(commit_of(clone)) == f"{sha[:9]} with uncommitted changes"

    def test_detached_worktree_submodule_and_bare(self, origin: Path, clone: Path, tmp_path: Path) -> None:
        sha = run(origin, "rev-parse", "HEAD")
        run(clone, "checkout", "-q", "--detach")
        run(clone, "worktree", "add", "-q", str(tmp_path / "tree"))
        run(clone, "submodule", "add", "-q", origin.as_uri(), "module")
        run(tmp_path, "clone", "-q", "--bare", origin.as_uri(), "bare")
        assert commit_of(tmp_path / "tree") == commit_of(clone / "module") == Commit(sha, dirty=False)
        assert commit_of(clone) == Commit(sha, dirty=True)
        assert commit_of(tmp_path / "bare") == Commit(sha, dirty=None)

    def test_none_is_recorded_where_none_is_known(
        self, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (clone / "ignored").mkdir()
        (tmp_path / "empty").mkdir()
        run(tmp_path / "empty", "init", "-q")
        for folder in (clone / "ignored", tmp_path, tmp_path / "empty", tmp_path / "nowhere"):
            assert commit_of(folder) is None
        with monkeypatch.context() as patch:
            patch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
            assert commit_of(clone) is None
        monkeypatch.setenv("PATH", "")
        assert commit_of(clone) is None

    def test_a_git_that_does_not_answer_costs_a_second(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        slow = tmp_path / "git"
        slow.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
        slow.chmod(0o755)
        monkeypatch.setattr("pytest_sst2.results.commit._TIMEOUT", 0.1)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        assert commit_of(tmp_path) is None

    def test_distinct_commits_are_named_once(self) -> None:
        one, other = Commit("a" * 40), Commit("b" * 40, dirty=True)
        assert commits_label([one, None, other, one]) == "aaaaaaaaa, bbbbbbbbb with uncommitted changes"
        assert commits_label([None]) == ""
