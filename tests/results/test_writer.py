"""ResultsWriter: the file is valid after every record, and its previous content is backed up."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from pytest_sst2.results.file import Results, results_from_text, results_text
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.results.writer import ResultsWriter
from pytest_sst2.utils.errors import Sst2Error
from tests.conftest import results
from tests.support.record_factory import make_record

PLANNED = ("a-seed1", "b-seed1", "c-seed1")


def cell(name: str, **changes: object) -> Record:
    return make_record(cell=name, **changes)


def failure(name: str) -> Failure:
    return Failure(name, None, "majority", 1, "it was killed")


def read(path: Path) -> Results:
    return results_from_text(path.read_text(encoding="utf-8"), path.name)


def names(path: Path) -> list[str]:
    return [record.cell for record in read(path).records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.json"


@pytest.fixture
def old(path: Path) -> str:
    """The text of another run's results, which is in the file."""
    text = results_text(Results([cell("old-seed1")], saved="2026-01-01T00:00:00+00:00"))
    path.write_text(text, encoding="utf-8")
    return text


def before(path: Path, number: str = "") -> Path:
    return path.with_name(f"{path.name}.before{number}")


class TestWriting:
    def test_the_file_is_valid_after_every_record_and_lists_missing_cells(self, path: Path) -> None:
        writer = ResultsWriter(path, PLANNED)
        assert not path.exists()
        for number, name in enumerate(PLANNED[:2], 1):
            writer.add(cell(name))
            assert names(path) == list(PLANNED[:number])
            assert read(path).missing == list(PLANNED[number:])
        writer.add_failure(failure("c-seed1"))
        assert read(path).missing == []
        assert read(path).saved == ""
        writer.close(complete=True)
        assert read(path).saved

    def test_the_text_is_the_same_as_written_at_once(self, path: Path) -> None:
        writer = ResultsWriter(path, PLANNED)
        made = [cell(name) for name in PLANNED[:2]]
        for record in made:
            writer.add(record)
        writer.add_failure(failure("c-seed1"))
        expected = results_text(Results(made, [failure("c-seed1")], planned=PLANNED))
        assert path.read_text(encoding="utf-8") == expected

    def test_a_record_replaces_a_failure_and_a_failure_replaces_a_record(self, path: Path) -> None:
        writer = ResultsWriter(path, PLANNED)
        writer.add_failure(failure("a-seed1"))
        writer.add(cell("a-seed1"))
        assert (names(path), read(path).failures) == (["a-seed1"], [])
        writer.add_failure(failure("a-seed1"))
        assert (names(path), [failed.cell for failed in read(path).failures]) == ([], ["a-seed1"])

    def test_a_disk_error_keeps_the_file_and_a_later_write_is_complete(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writer = ResultsWriter(path, PLANNED)
        writer.add(cell("a-seed1"))

        def full(_handle: int) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.fsync", full)
            with pytest.raises(Sst2Error, match="No space left"):
                writer.add(cell("b-seed1"))
        assert names(path) == ["a-seed1"]
        writer.add(cell("c-seed1"))
        assert names(path) == ["a-seed1", "b-seed1", "c-seed1"]
        assert [file.name for file in path.parent.iterdir()] == [path.name]


class TestAnotherRunsFile:
    def test_a_file_without_a_backup_is_not_overwritten(
        self, path: Path, old: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_path: Path) -> bytes:
            raise OSError(5, "Input/output error")

        writer = ResultsWriter(path, PLANNED)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_bytes", fail)
            with pytest.raises(Sst2Error, match=r"Input/output error\. The file is not overwritten"):
                writer.add(cell("a-seed1"))
        assert path.read_text(encoding="utf-8") == old

    def test_it_is_backed_up_until_the_run_is_complete(self, path: Path, old: str) -> None:
        writer = ResultsWriter(path, PLANNED)
        assert path.read_text(encoding="utf-8") == old
        writer.add(cell("a-seed1"))
        assert names(path) == ["a-seed1"]
        assert before(path).read_text(encoding="utf-8") == old
        writer.close(complete=True)
        assert writer.backup is None
        assert not before(path).exists()

    def test_the_backup_stays_if_the_run_was_stopped(self, path: Path, old: str) -> None:
        writer = ResultsWriter(path, PLANNED)
        writer.add(cell("a-seed1"))
        writer.close(complete=False)
        assert before(path).read_text(encoding="utf-8") == old
        assert writer.backup == before(path)

    def test_each_of_two_interrupted_runs_leaves_a_backup(self, path: Path, old: str) -> None:
        ResultsWriter(path, PLANNED).add(cell("a-seed1"))
        last = ResultsWriter(path, PLANNED)
        last.add(cell("b-seed1"))
        assert before(path).read_text(encoding="utf-8") == old
        assert names(before(path, "-2")) == ["a-seed1"]
        last.close(complete=True)
        assert before(path).exists()
        assert not before(path, "-2").exists()


class TestResumedFile:
    def test_its_records_failures_and_plan_stay(self, path: Path) -> None:
        resumed = Results([cell("a-seed1")], [failure("b-seed1")], planned=PLANNED)
        writer = ResultsWriter(path, ("c-seed1", "d-seed1"), resumed=resumed)
        writer.add(cell("c-seed1"))
        content = read(path)
        assert [record.cell for record in content.records] == ["a-seed1", "c-seed1"]
        assert [failed.cell for failed in content.failures] == ["b-seed1"]
        assert content.planned == (*PLANNED, "d-seed1")
        assert content.missing == ["d-seed1"]

    def test_an_unchanged_record_is_not_written_again(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        writer = ResultsWriter(path, PLANNED, resumed=Results([cell("a-seed1")], []))
        monkeypatch.setattr("pytest_sst2.results.writer.write_atomically", lambda *_: pytest.fail("written"))
        writer.add(cell("a-seed1"))

    def test_a_remeasured_cell_backs_up_the_file(self, path: Path) -> None:
        path.write_text(results_text(Results([cell("a-seed1")])), encoding="utf-8")
        writer = ResultsWriter(path, PLANNED, resumed=read(path))
        writer.add(cell("a-seed1", accuracy=0.5), remeasured=True)
        writer.close(complete=True)
        assert results(path)["records"][0]["accuracy"] == 0.5
        assert results(before(path))["records"][0]["accuracy"] == 0.75

    @pytest.mark.parametrize("how", ["failed", "without"])
    def test_a_cell_that_failed_or_is_excluded_backs_up_the_file(self, path: Path, how: str) -> None:
        text = results_text(Results([cell("a-seed1"), cell("b-seed1")], planned=PLANNED))
        path.write_text(text, encoding="utf-8")
        writer = ResultsWriter(path, ("b-seed1",), resumed=read(path))
        if how == "failed":
            writer.add_failure(failure("a-seed1"))
        writer.close(complete=True, without=["a-seed1"] if how == "without" else [])
        assert names(path) == ["b-seed1"]
        assert ("a-seed1" in read(path).planned) is (how == "failed")
        assert before(path).read_text(encoding="utf-8") == text

    def test_a_backup_of_an_earlier_run_is_kept(self, path: Path, old: str) -> None:
        shutil.copy(path, before(path))
        path.write_text(results_text(Results([cell("a-seed1")])), encoding="utf-8")
        writer = ResultsWriter(path, PLANNED, resumed=read(path))
        writer.add(dataclasses.replace(cell("a-seed1"), accuracy=0.5), remeasured=True)
        assert before(path).read_text(encoding="utf-8") == old
        assert writer.backup == before(path, "-2")
        assert names(before(path, "-2")) == ["a-seed1"]
