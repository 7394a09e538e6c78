"""``pytest-sst2 upgrade --from-ref A --to-ref B``: two commits of one's own repository, and the first bad one."""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from pytest_sst2.cli.main import main
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.upgrade import benchmark_runs
from pytest_sst2.upgrade.benchmark_runs import Plan
from pytest_sst2.upgrade.checkouts import checkouts_below
from pytest_sst2.upgrade.environments import BuiltEnvironment
from pytest_sst2.upgrade.repository import open_repository
from tests.support.record_factory import answered

# The files of a commit have a number in ``value``; the command fails from 7 on.
FAILS = ("sh", "-c", "test $(cat value) -lt 7")
LINE = [(f"c{number}", (f"c{number - 1}",) if number > 1 else (), str(number)) for number in range(1, 21)]


@pytest.fixture(autouse=True)
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository as the working folder, and a cache of its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path / "cache"))
    for name in ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(name, "tester@example.org")
    monkeypatch.chdir(folder)
    git("init", "-q", "-b", "main", ".")
    return folder


def git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


def write_history(commits: Sequence[tuple[str, Sequence[str], str]], files: Mapping[str, str] | None = None) -> None:
    """Make commits of a name, parents and a value; each has a tag of its name, and the last is ``main``."""
    lines, marks = [], {name: number for number, (name, _, _) in enumerate(commits, 1)}
    for name, parents, value in commits:
        subject = f"Set {value} in {name}"
        lines += ["commit refs/heads/main", f"mark :{marks[name]}", f"committer a <a@example.org> {marks[name]} +0000"]
        lines += [f"data {len(subject)}", subject]
        lines += [f"{'merge' if place else 'from'} :{marks[parent]}" for place, parent in enumerate(parents)]
        for file, text in {"value": value, **({} if parents else files or {})}.items():
            lines += [f"M 100644 inline {file}", f"data {len(text)}", text]
        lines += [f"reset refs/tags/{name}", f"from :{marks[name]}", ""]
    subprocess.run(["git", "fast-import", "--quiet", "--force"], input="\n".join(lines), text=True, check=True)
    git("reset", "-q", "--hard", "main")


def state_of_repository() -> tuple[object, ...]:
    return git("for-each-ref"), git("status", "--porcelain"), git("worktree", "list"), sorted(Path(".git").iterdir())


def upgrade(*words: str) -> int:
    return main(["upgrade", *words])


def steps(output: str) -> int:
    return len(re.findall(r"^step \d+:", output, re.MULTILINE))


class TestNaming:
    def test_the_first_bad_commit_of_a_line_is_named_and_the_repository_is_as_before(
        self, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        (repository / ".git/hooks/post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/hook-ran\n")
        (repository / ".git/hooks/post-checkout").chmod(0o755)
        before = state_of_repository()
        assert upgrade("--from-ref", "c1", "--to-ref", "main", "--bisect", "--", *FAILS) == 1
        output = capsys.readouterr().out
        short = git("rev-parse", "--short", "c7").strip()
        assert f'first bad commit: {short} "Set 7 in c7" (`sh -c ' in output
        assert "ends with status 1)" in output
        assert steps(output) <= math.log2(19) + 1
        assert output.endswith("2 of them twice\n")
        assert before == state_of_repository()
        assert not list((tmp_path / "cache/upgrade/worktrees").iterdir())
        assert not (tmp_path / "hook-ran").exists()

    def test_a_commit_on_a_branch_is_named_and_so_is_a_merge_that_is_bad_by_itself(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        side = [("a", (), "1"), ("b", ("a",), "2"), ("x", ("a",), "1"), ("y", ("x",), "9"), ("z", ("y",), "8")]
        write_history([*side, ("m", ("b", "z"), "8"), ("n", ("m",), "8")])
        upgrade("--from-ref", "a", "--bisect", "--", *FAILS)
        output = capsys.readouterr().out
        assert "bisecting 6 commits, with those on the branches of 1 merge: " in output
        assert '"Set 9 in y" (`sh' in output
        write_history([("a", (), "1"), ("b", ("a",), "2"), ("x", ("a",), "3"), ("m", ("b", "x"), "8")])
        upgrade("--from-ref", "a", "--bisect", "--", *FAILS)
        assert '"Set 8 in m", a merge of good commits (`sh' in capsys.readouterr().out

    def test_commits_that_cannot_be_tested_are_named_if_they_may_be_the_first_bad_one(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        command = "v=$(cat value); test $v = 6 && exit 125; test $v = 5 && exit 4; test $v -lt 7"
        upgrade("--from-ref", "c1", "--bisect", "--", "sh", "-c", command)
        output = capsys.readouterr().out
        assert re.search(
            r'the first bad commit is one of \w+ "Set 5 in c5" \(untestable\), \w+ "Set 6 in c6" \(untestable\) and '
            r'\w+ "Set 7 in c7" \(',
            output,
        )
        assert "(exit status 125, not 1)" in output

    def test_the_modules_of_the_commit_are_imported_also_where_pythonpath_leads_to_the_repository(
        self, repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE[:2], {"src/own.py": "import pathlib\n", "lib/other.py": "", "sub/file": ""})
        (repository / "lib/other.py").write_text("raise SystemExit(3)")
        monkeypatch.setenv("PYTHONPATH", str(repository / "lib"))
        monkeypatch.chdir(repository / "sub")
        assert upgrade("--from-ref", "c1", "--", "python", "-c", "import own, other; open('file')") == 0
        assert "not measured (1 file: lib/other.py)" in capsys.readouterr().out


class TestBenchmarks:
    @pytest.fixture(autouse=True)
    def _runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fake of pytest: the file ``value`` of the commit decides the answers, or that nothing is collected."""

        def run(environment: BuiltEnvironment, plan: Plan, file: Path, log: Path, *_: object) -> int:
            value = int((environment.working_folder(plan.folder) / "value").read_text())
            log.write_text("ImportError: cannot import name 'x'")
            if value == 6:
                return 2
            code = {"code": str(value // 3)}
            record = answered([value < 7 or index >= 30 + value for index in range(400)], settings=code)
            file.write_text(results_text(Results([record])))
            return 0

        monkeypatch.setattr(benchmark_runs, "run_pytest", run)

    def test_the_first_commit_with_the_verdict_of_the_cell_is_named_with_its_own_numbers(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE, {"benchmarks/test_cells.py": ""})
        assert upgrade("--from-ref", "c1", "--passes", "1", "--bisect") == 1
        output = capsys.readouterr().out
        assert re.search(
            r'one of \w+ "Set 6 in c6" \(untestable\) and \w+ "Set 7 in c7" \(.*: accuracy 1.0000 → 0.9075', output
        )
        assert "untestable (cannot run: ImportError: cannot import name 'x' (exit status 2)." in output


class TestRefusing:
    def test_an_end_that_does_not_repeat_its_status_is_refused(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        count = tmp_path / "count"
        assert upgrade("--from-ref", "c1", "--bisect", "--", "sh", "-c", flaky(count, "test $(wc -l < {0}) -ne 2")) == 1
        output = capsys.readouterr().out
        assert "no cause: measured again, the later environment is good, not bad as before (`sh" in output
        assert steps(output) == 0

    def test_a_commit_that_does_not_repeat_its_status_is_not_blamed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        # Of two runs of c7 the second succeeds.
        command = "test $(cat value) = 7 && echo >> {0} && test $(wc -l < {0}) -eq 2 && exit 0; test $(cat value) -lt 7"
        upgrade("--from-ref", "c1", "--bisect", "--", "sh", "-c", command.format(tmp_path / "count"))
        output = capsys.readouterr().out
        assert re.search(r'no first bad commit: measured again, \w+ "Set 7 in c7" is good, not bad as before', output)
        assert "first bad commit: " not in output.replace("no first bad commit: ", "")

    def test_a_branch_that_began_bad_has_no_first_bad_commit(self, capsys: pytest.CaptureFixture[str]) -> None:
        write_history([("a", (), "9"), ("fix", ("a",), "1"), ("x", ("a",), "9"), ("y", ("x",), "8")])
        upgrade("--from-ref", "fix", "--to-ref", "y", "--bisect", "--", *FAILS)
        output = capsys.readouterr().out
        assert re.search(
            r'no first bad commit: \w+ "Set 9 in a" is bad too, although a good commit contains it', output
        )

    def test_a_parent_that_cannot_be_tested_counts_as_good_if_a_good_commit_contains_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history([("a", (), "5"), ("fix", ("a",), "1"), ("x", ("a",), "9"), ("y", ("x",), "8")])
        command = "test $(cat value) = 5 && exit 125; test $(cat value) -lt 7"
        upgrade("--from-ref", "fix", "--to-ref", "y", "--bisect", "--", "sh", "-c", command)
        output = capsys.readouterr().out
        assert '"Set 5 in a" is untestable; it counts as good, because a good commit contains it.' in output
        assert '"Set 9 in x" (`sh' in output

    def test_nothing_is_searched_backwards(self, capsys: pytest.CaptureFixture[str]) -> None:
        write_history([("a", (), "9"), ("fix", ("a",), "1")])
        upgrade("--from-ref", "fix", "--to-ref", "a", "--bisect", "--", *FAILS)
        assert re.search(r'nothing to bisect: \w+ "Set 1 in fix" contains \w+ "Set 9 in a"', capsys.readouterr().out)

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("--from-ref", "mian"), "--from-ref 'mian' is no commit of .* Did you mean 'main'\\?"),
            (("--from-ref", "c1", "--to-ref", "no-such-thing"), "--to-ref 'no-such-thing' is no commit of "),
            (("--from-ref=-x",), "--from-ref '-x' is no commit of "),
            (("--to-ref", "c1"), "--to-ref needs --from-ref, the commit before."),
            (("--from-ref", "c1", "--", "./no-such-script"), "'./no-such-script' cannot be run: .* in both commits."),
        ],
    )
    def test_a_mistake_is_a_sentence(
        self, words: Sequence[str], sentence: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE[:2])
        assert upgrade(*words) == 2
        assert re.search(sentence, capsys.readouterr().err)

    def test_a_folder_outside_of_a_repository_and_a_shallow_clone_are_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        git("clone", "-q", "--depth", "3", Path.cwd().as_uri(), str(tmp_path / "shallow"))
        monkeypatch.chdir(tmp_path)
        assert upgrade("--from-ref", "main", "--", "true") == 2
        assert "--from-ref compares commits, but git finds none in " in capsys.readouterr().err
        monkeypatch.chdir(tmp_path / "shallow")
        assert upgrade("--from-ref", "HEAD~9", "--", "true") == 2
        assert "The clone is shallow; for its other commits run: git fetch --unshallow" in capsys.readouterr().err

    def test_one_commit_under_two_names_is_no_change(self, capsys: pytest.CaptureFixture[str]) -> None:
        write_history(LINE[:2])
        Path("value").write_text("3")
        assert upgrade("--from-ref", "c2", "--", "true") == 0
        output = capsys.readouterr().out
        assert "note: uncommitted changes and untracked files are not measured (1 file: value)." in output
        assert re.search(r'nothing changes: c2 and HEAD are the same commit, \w+ "Set 2 in c2"', output)

    def test_submodules_are_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        write_history(LINE[:2])
        git("update-index", "--add", "--cacheinfo", f"160000,{git('rev-parse', 'c1').strip()},vendor/part")
        git("commit", "-qm", "Add a part")
        upgrade("--from-ref", "c1", "--", "true")
        assert "note: submodules are not checked out: vendor/part." in capsys.readouterr().out


class TestInterrupted:
    def test_an_interrupted_search_goes_on_and_leaves_no_checkout(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_history(LINE)
        count = tmp_path / "count"
        command = ("sh", "-c", flaky(count, FAILS[-1]))
        with monkeypatch.context() as patch:
            patch.setattr("pytest_sst2.upgrade.commit_search.CommitSearch._test_again", _interrupt)
            assert upgrade("--from-ref", "c1", "--bisect", "--", *command) == 130
        assert len(git("worktree", "list").splitlines()) == 1
        measured = len(count.read_text().splitlines())
        Path("value").write_text("a change in the working folder")
        capsys.readouterr()
        assert upgrade("--from-ref", "c1", "--bisect", "--", *command) == 1
        output = capsys.readouterr().out
        assert '"Set 7 in c7" (' in output
        assert len(count.read_text().splitlines()) == measured + 2
        assert measured == 4 + steps(output)

    def test_checkouts_of_a_killed_command_are_removed_by_the_next_one_and_by_clean(self, tmp_path: Path) -> None:
        write_history(LINE[:2])
        parent = tmp_path / "cache/upgrade/worktrees"
        for remove in (("--from-ref", "c1", "--", "true"), ("--clean",)):
            upgrade("--from-ref", "c1", "--", "true")
            git("worktree", "add", "-q", "--detach", str(parent / "killed" / "one"), "c1")
            (parent / "killed.lock").touch()
            assert upgrade(*remove) == 0
            assert len(git("worktree", "list").splitlines()) == 1
            assert not (parent / "killed").exists()

    def test_checkouts_of_another_command_that_is_running_are_left_alone(self, tmp_path: Path) -> None:
        write_history(LINE[:2])
        repository = open_repository(Path.cwd())
        commit = repository.commit("c1", "--from-ref")
        with checkouts_below(tmp_path / "checkouts", repository) as one:
            mine = one.of(commit)
            with checkouts_below(tmp_path / "checkouts", repository) as other:
                assert other.of(commit).folder != mine.folder
            assert (mine.folder / "value").read_text() == "1"


def flaky(count: Path, command: str) -> str:
    """Return a command that first adds a line to a file, so that its runs are counted."""
    return f"echo >> {count}; {command.format(count)}" if "{0}" in command else f"echo >> {count}; {command}"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
