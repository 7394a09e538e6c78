"""Locks, and pairs of runs that write the same files."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.results import floors
from pytest_sst2.results.floors import Floor, FloorKey, load_floors, write_floors
from pytest_sst2.utils import locks
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results
from tests.support import ROOT

HOLDER = """
import sys, time
from pathlib import Path
from pytest_sst2.utils.locks import one_at_a_time
with one_at_a_time(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


class TestOneAtATime:
    @pytest.fixture
    def start(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
        """Start processes that hold the lock, in a temporary folder of their own."""
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        with contextlib.ExitStack() as stack:

            def started() -> subprocess.Popen[str]:
                process = subprocess.Popen(
                    [sys.executable, "-c", HOLDER, str(tmp_path / "guarded")], stdout=subprocess.PIPE, text=True
                )
                stack.enter_context(process)
                stack.callback(process.kill)
                return process

            yield started

    def test_another_process_waits_until_the_holder_is_killed(self, start: Callable[[], subprocess.Popen[str]]) -> None:
        holder = start()
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        waiting = start()
        assert waiting.stdout is not None
        assert select.select([waiting.stdout], [], [], 1.5)[0] == []
        os.kill(holder.pid, signal.SIGKILL)
        assert select.select([waiting.stdout], [], [], 20)[0] != []
        assert waiting.stdout.readline() == "held\n"

    def test_an_error_releases_the_lock(self, tmp_path: Path) -> None:
        with pytest.raises(ZeroDivisionError), locks.one_at_a_time(tmp_path):
            _ = 1 / 0
        locks.take(tmp_path, "--sst2-json")()

    def test_the_lock_file_is_next_to_the_guarded_file_and_is_removed(self, tmp_path: Path) -> None:
        for name in ("floors.toml", "x" * 250):
            with locks.one_at_a_time(tmp_path / "new" / name):
                assert len(list((tmp_path / "new").iterdir())) == 1
            assert list((tmp_path / "new").iterdir()) == []

    def test_jobs_with_temporary_folders_of_their_own_exclude_each_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        release = locks.take(tmp_path / "r.json", "--sst2-json")
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "of another job"))
        with pytest.raises(Sst2Error, match="is being written by another run"):
            locks.take(tmp_path / "r.json", "--sst2-json")
        release()
        locks.take(tmp_path / "r.json", "--sst2-json")()

    @pytest.mark.parametrize("spoilt", ["a folder", "no locks on this disk", "no locks anywhere"])
    def test_a_lock_that_cannot_be_taken_ends_no_run(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoilt: str
    ) -> None:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
        (tmp_path / ".r.json.lock").mkdir()
        if spoilt != "a folder":
            from filelock import FileLock

            real = FileLock._acquire  # type: ignore[attr-defined]

            def acquire(lock: Any) -> None:
                if spoilt == "no locks anywhere" or "tmp" not in Path(lock.lock_file).parts[-2:]:
                    raise NotImplementedError("FileSystem does not appear to support flock")
                real(lock)

            monkeypatch.setattr("filelock.FileLock._acquire", acquire)
        release = locks.take(tmp_path / "r.json", "--sst2-json")
        if spoilt != "no locks anywhere":
            with pytest.raises(Sst2Error, match="is being written by another run"):
                locks.take(tmp_path / "r.json", "--sst2-json")
        release()
        with locks.one_at_a_time(tmp_path / "r.json"):
            pass


class TestTwoRunsOnOneResultsFile:
    def test_the_second_is_refused_before_any_work_and_the_file_is_the_firsts(self, project: pytest.Pytester) -> None:
        let_go = locks.take(project.path / "r.json", "--sst2-json")
        try:
            result = project.runpytest("--methods=majority", "--sst2-json=r.json")
            assert result.ret == pytest.ExitCode.USAGE_ERROR
            result.stderr.fnmatch_lines(["ERROR: --sst2-json '*r.json' is being written by another run, *"])
            assert not (project.path / "r.json").exists()
            assert project.runpytest("--methods=majority", "--sst2-json=other.json").ret == 0
            assert project.runpytest("--methods=majority", "--sst2-resume=./r.json").ret == 4
            assert project.runpytest("--methods=majority", "--sst2-json=r.json", "--collect-only").ret == 0
        finally:
            let_go()
        assert project.runpytest("--methods=majority", "--sst2-json=r.json").ret == 0
        assert project.runpytest("--methods=majority", "--sst2-json=r.json").ret == 0, "the run before has let it go"

    def test_what_another_run_finished_just_before_the_file_was_held_stays_there(
        self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = project.path / "r.json"
        assert project.runpytest("--methods=majority,tfidf", "--sst2-json=r.json").ret == 0
        finished = path.read_text(encoding="utf-8")
        path.unlink()
        real = locks.take

        def take(held: Path, option: str) -> Callable[[], None]:
            let_go = real(held, option)
            path.write_text(finished, encoding="utf-8")
            return let_go

        monkeypatch.setattr(locks, "take", take)
        assert project.runpytest("--methods=majority", "--sst2-resume=r.json", "--sst2-save=main").ret == 0
        assert [record["method"] for record in results(path)["records"]] == ["majority", "tfidf"]


def at_once(*functions: Callable[[], object]) -> None:
    """Call each function in its own thread."""
    threads = [threading.Thread(target=function) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)


def test_of_two_calibrations_at_once_neither_loses_what_the_other_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "floors.toml"
    met = threading.Barrier(2)
    real = floors.write_atomically

    def slow(*arguments: Any) -> None:
        # Without a lock both have read the file by now.
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait(0.5)
        real(*arguments)

    monkeypatch.setattr(floors, "write_atomically", slow)
    keys = [FloorKey("data", "quick", "", method) for method in ("majority", "tfidf")]
    at_once(*(lambda key=key: write_floors(path, [(key, Floor(0.5, "measured"))]) for key in keys))
    written = load_floors(path)
    assert [written.find(key) for key in keys] == [Floor(0.5, "measured")] * 2


def test_of_two_reports_into_one_folder_all_files_are_of_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Imported here: another test may have imported the modules anew.
    report_files, html, markdown, spreadsheet = (
        importlib.import_module(f"pytest_sst2.report.{name}") for name in ("write", "html", "markdown", "csv_export")
    )
    met = threading.Barrier(2)
    real = report_files.write_atomically

    def slow(path: Path, text: str) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            met.wait(0.3)
        real(path, text)

    monkeypatch.setattr(report_files, "write_atomically", slow)
    monkeypatch.setattr(html, "html_text", lambda report, _cells: str(report))
    monkeypatch.setattr(markdown, "markdown", str)
    monkeypatch.setattr(spreadsheet, "csv_text", str)
    at_once(*(lambda name=name: report_files.write_report(tmp_path, name, []) for name in ("one", "other")))
    assert len({(tmp_path / name).read_text(encoding="utf-8") for name in report_files.NAMES}) == 1


def test_two_runs_on_one_small_cache_never_read_what_is_not_theirs(tmp_path: Path) -> None:
    wrong: list[str] = []

    def work(start: int) -> None:
        cache = EmbeddingCache(tmp_path, most_bytes=40_000)
        for number in range(start, start + 120):
            address = f"{number % 7:064d}"
            cache.put(address, np.full((20, 10), number % 7, dtype=np.float32))
            embeddings = cache.get(address, 20)
            if embeddings is not None and not (embeddings == number % 7).all():
                wrong.append(address)
        if cache.problem:
            wrong.append(cache.problem)

    at_once(lambda: work(0), lambda: work(3))
    assert wrong == []
    assert list(tmp_path.glob("*.part")) == []


@pytest.mark.processes
@pytest.mark.parametrize("overwrite", [False, True], ids=["without", "with --sst2-overwrite"])
def test_of_two_runs_that_save_one_baseline_it_is_one_of_them_whole(project: pytest.Pytester, overwrite: bool) -> None:
    methods = ("majority", "tfidf")
    more = ["--sst2-overwrite"] if overwrite else []
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--sst2-save=main", *more]
    runs = [
        subprocess.Popen([*command, f"--methods={method}"], cwd=project.path, stdout=subprocess.PIPE, text=True)
        for method in methods
    ]
    outputs = [run.communicate(timeout=240)[0] for run in runs]
    statuses = sorted(run.returncode for run in runs)
    saved = results(project.path / ".sst2" / "main.json")
    assert len(saved["records"]) == 1
    assert [path.name for path in (project.path / ".sst2").iterdir()] == ["main.json"]
    # The slower run fails at its start, or at its end after its table is printed: it has no number for the saved cell.
    assert statuses in ([0, 1], [0, 4]), outputs
    winner = [run.returncode for run in runs].index(0)
    assert json.dumps(saved).count(f'"{methods[winner]}-seed42"') >= 1
