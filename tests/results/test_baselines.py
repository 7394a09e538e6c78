"""Baselines: saved by name, results by name or path, and replaced with an option only."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_sst2.results.baselines import (
    baseline_path,
    check_free,
    find_baseline,
    load_baseline,
    load_results,
    newest_baseline,
    project_folder,
    save_baseline,
    saved_baselines,
)
from pytest_sst2.results.file import Results, results_text
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted
from tests.support.record_factory import FAILURE, make_record

needs_posix = pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
SAVED = dataclasses.replace(make_record(), probabilities=())


def refusal(ask: Callable[[], object]) -> str:
    with pytest.raises(Sst2Error) as caught:
        ask()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def save(folder: Path, name: str) -> Path:
    path = baseline_path(folder, name)
    save_baseline(path, Results([make_record()]), overwrite=False)
    return path


class TestNames:
    @pytest.mark.parametrize("name", ["main", "v1.2.3", "2026-08-01", "_x", "a" * 100])
    def test_a_baseline_is_a_file_in_the_folder_of_the_project(self, tmp_path: Path, name: str) -> None:
        assert baseline_path(tmp_path, name) == tmp_path / ".sst2" / f"{name}.json"

    @pytest.mark.parametrize(
        "name",
        [
            "",
            ".",
            "..",
            "../main",
            "a/b",
            "a\\b",
            ".hidden",
            "-x",
            "a b",
            "main\n",
            "café",
            "C:main",
            "a" * 300,
            "nul",
            "con.v1",
            "LPT1",
        ],
    )
    def test_an_invalid_name_is_refused(self, tmp_path: Path, name: str) -> None:
        message = refusal(lambda: baseline_path(tmp_path, name))
        assert f"{quoted(name)} is not a baseline name" in message
        assert "'main'" in message

    @pytest.mark.parametrize("name", ["../main", "a" * 300])
    def test_an_invalid_name_is_refused_before_the_run(self, tmp_path: Path, name: str) -> None:
        assert "is not a baseline name" in refusal(lambda: check_free(tmp_path, name, overwrite=True))

    def test_the_file_of_a_baseline_is_its_name_too(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main.json")
        assert path == tmp_path / ".sst2" / "main.json"
        assert find_baseline(tmp_path, tmp_path / "elsewhere", "main.json") == path
        (tmp_path / "main.json").write_text("a results file", encoding="utf-8")
        assert find_baseline(tmp_path, tmp_path, "main.json") == tmp_path / "main.json"


class TestSaving:
    def test_a_saved_baseline_is_loaded_by_its_name_with_its_time(self, tmp_path: Path) -> None:
        path = check_free(tmp_path, "main", overwrite=False)
        save_baseline(path, Results([make_record()]), overwrite=False)
        results = load_baseline(tmp_path, tmp_path, "main")
        assert [dataclasses.replace(record, probabilities=()) for record in results.records] == [SAVED]
        assert results.origin == "main"
        assert results.saved.startswith("20")
        assert results.saved.endswith("+00:00")

    def test_checking_writes_nothing(self, tmp_path: Path) -> None:
        check_free(tmp_path, "main", overwrite=False)
        assert list(tmp_path.iterdir()) == []

    def test_an_existing_name_is_refused_before_the_run_with_two_remedies(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        message = refusal(lambda: check_free(tmp_path, "main", overwrite=False))
        parts = ["--sst2-save main", str(path), "another name", "--sst2-overwrite"]
        assert [part for part in parts if part not in message] == []
        assert check_free(tmp_path, "main", overwrite=True) == path

    def test_a_baseline_saved_meanwhile_is_not_replaced(self, tmp_path: Path) -> None:
        path = check_free(tmp_path, "main", overwrite=False)
        theirs = save(tmp_path, "main").read_bytes()
        message = refusal(lambda: save_baseline(path, Results([make_record(seed=7)]), overwrite=False))
        assert str(path) in message
        assert "What was there is unchanged" in message
        assert path.read_bytes() == theirs
        assert [file.name for file in path.parent.iterdir()] == ["main.json"]

    def test_the_error_names_the_option_of_the_command(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        assert refusal(lambda: check_free(tmp_path, "main", overwrite=False, option="--save")) == (
            f"--save main: there is a baseline of that name in {str(path)!r}. Choose another name, or add --overwrite "
            "to replace it."
        )

    def test_a_baseline_is_packed(self, tmp_path: Path) -> None:
        path = baseline_path(tmp_path, "main")
        records = [make_record(seed=seed, cell=f"minilm-linear-probe-seed{seed}") for seed in range(5)]
        save_baseline(path, Results(records), overwrite=False)
        data = json.loads(path.read_text(encoding="utf-8"))
        assert "shared" in data
        assert [record.seed for record in load_baseline(tmp_path, tmp_path, "main").records] == [0, 1, 2, 3, 4]

    def test_overwrite_replaces_a_baseline(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        save_baseline(path, Results([make_record(seed=7)]), overwrite=True)
        assert [record.seed for record in load_baseline(tmp_path, tmp_path, "main").records] == [7]

    def test_a_cell_that_failed_or_was_planned_or_is_replaced_is_dropped_by_name_only(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        before = path.read_bytes()
        record = dataclasses.replace(make_record(), cell="new-seed1")

        def again(*drop: str) -> str:
            return save_baseline(
                path, Results([record], [FAILURE], planned=["planned-seed1"]), overwrite=True, drop=drop
            )

        message = refusal(lambda: again("new-*"))
        assert message.startswith(
            f"baseline 'main' was not saved: 2 cells without a number: planned-seed1, {FAILURE.cell}; 1 cell of the "
            "baseline that it replaces not measured: minilm-linear-probe-seed42. What was there is unchanged."
        )
        assert message.endswith(f"--sst2-drop-cells=planned-seed1,{FAILURE.cell},minilm-linear-probe-seed42.")
        assert path.read_bytes() == before
        assert again("planned-seed?", FAILURE.cell, "minilm-*") == (
            f"baseline 'main' with 1 record in {path}, without planned-seed1, {FAILURE.cell}, "
            "minilm-linear-probe-seed42"
        )

    def test_a_replaced_baseline_that_cannot_be_read_is_refused_before_the_run(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        path.write_text("{", encoding="utf-8")
        message = refusal(lambda: check_free(tmp_path, "main", overwrite=True))
        assert message.endswith("To replace it although its cells are unknown, add --sst2-drop-cells='*'.")
        assert check_free(tmp_path, "main", overwrite=True, drop=["*"]) == path

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_an_interrupt_keeps_the_old_baseline(
        self, tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        path = save(tmp_path, "main")
        before = path.read_bytes()
        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_baseline(path, Results([make_record(seed=7)]), overwrite=overwrite)
        assert path.read_bytes() == before
        assert [file.name for file in path.parent.iterdir()] == ["main.json"]

    def test_a_file_instead_of_the_folder_is_refused_before_the_run(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2").write_text("a file", encoding="utf-8")
        path = tmp_path / ".sst2" / "main.json"
        sentence = f"{str(path)!r} cannot be written: {str(tmp_path / '.sst2')!r} is not a writable folder."
        assert refusal(lambda: check_free(tmp_path, "main", overwrite=False)) == f"--sst2-save {sentence}"
        message = refusal(lambda: check_free(tmp_path, "main", overwrite=False, option="--save"))
        assert message == f"--save {sentence}"

    def test_a_folder_with_the_name_of_the_baseline_is_refused_before_the_run(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2" / "main.json").mkdir(parents=True)
        assert "is a folder" in refusal(lambda: check_free(tmp_path, "main", overwrite=True))


class TestFinding:
    def test_any_results_file_can_be_loaded_by_its_path(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "now.json").write_text(results_text(Results([make_record()])), encoding="utf-8")
        project = tmp_path / "project"
        for name_or_path in ("out/now.json", str(tmp_path / "out" / "now.json")):
            results = load_baseline(project, tmp_path, name_or_path)
            assert (list(results.records), results.origin) == ([make_record()], name_or_path)

    def test_a_baseline_takes_precedence_over_a_file_of_the_same_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        (tmp_path / "main").write_text("something else", encoding="utf-8")
        assert find_baseline(tmp_path, tmp_path, "main") == path

    def test_baselines_are_found_wherever_relative_paths_start(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        assert find_baseline(tmp_path, tmp_path / "below", "main") == path

    def test_a_pipe_is_not_called_a_missing_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(Sst2Error, match="pipe cannot be read: it is not a regular file but a pipe"):
            find_baseline(tmp_path, tmp_path, "pipe")

    def test_an_unknown_name_is_refused_with_all_names_and_the_nearest(self, tmp_path: Path) -> None:
        for name in ("release-1", "main"):
            save(tmp_path, name)
        message = refusal(lambda: find_baseline(tmp_path, tmp_path, "mian"))
        assert message.endswith("no baseline 'mian': no such file, and the baselines are main, release-1. "
                                "Did you mean 'main'?")  # fmt: skip
        assert refusal(lambda: find_baseline(tmp_path, tmp_path, "elsewhere/x.json")).endswith(
            "no baseline 'elsewhere/x.json': no such file, and the baselines are main, release-1."
        )

    def test_a_folder_is_named_as_one(self, tmp_path: Path) -> None:
        assert refusal(lambda: find_baseline(tmp_path, tmp_path, ".")).endswith("'.' is a folder. Name a results file.")
        save(tmp_path, "main")
        for name in (".sst2", str(tmp_path)):
            message = refusal(lambda name=name: find_baseline(tmp_path, tmp_path, name))  # type: ignore[misc]
            assert message.endswith(f"{name!r} is a folder. Name a results file, or a baseline (main).")

    def test_home_folders_are_expanded_and_invalid_paths_do_not_exist(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "now.json").write_text(results_text(Results([make_record()])), encoding="utf-8")
        assert find_baseline(tmp_path / "project", tmp_path, "~/now.json") == tmp_path / "now.json"

    @pytest.mark.parametrize(
        "name_or_path", ["main", "a" * 300, "~nobody-of-this-name/x.json", "nul\0byte", "no/where.json"]
    )
    def test_without_baselines_the_error_explains_how_to_save_one(self, tmp_path: Path, name_or_path: str) -> None:
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, name_or_path))
        parts = [f"no baseline {quoted(name_or_path)}", str(tmp_path / ".sst2"), "Save one with --sst2-save NAME."]
        assert [part for part in parts if part not in message] == []

    @pytest.mark.parametrize(("name_or_path", "part"), [("main", "no baseline"), (".sst2/main.json", "is a folder")])
    def test_a_folder_is_not_a_baseline(self, tmp_path: Path, name_or_path: str, part: str) -> None:
        (tmp_path / ".sst2" / "main.json").mkdir(parents=True)
        assert part in refusal(lambda: load_baseline(tmp_path, tmp_path, name_or_path))

    def test_the_nearest_folder_upwards_with_baselines_is_the_project(self, tmp_path: Path) -> None:
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert project_folder(below) == below
        save(tmp_path, "main")
        assert project_folder(below) == project_folder(tmp_path) == tmp_path


class TestReading:
    def test_a_file_that_is_not_utf8_is_refused_with_its_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        path.write_bytes(b'{"schema_version": 2, "saved": "\xe9"}')
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))
        assert f"{path}, line 1: not valid UTF-8" in message

    @needs_posix
    def test_an_unreadable_file_is_refused_with_its_name(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path = save(tmp_path, "main")
        path.chmod(0)
        assert f"{path} cannot be read" in refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))

    def test_a_damaged_or_newer_file_is_refused_with_its_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        whole = path.read_text(encoding="utf-8")
        for text in ("", whole[:-500], whole.replace('"schema_version": 4', '"schema_version": 5')):
            path.write_text(text, encoding="utf-8")
            assert str(path) in refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))

    @pytest.mark.parametrize("packed", [False, True])
    def test_two_records_of_one_cell_are_refused(self, tmp_path: Path, packed: bool) -> None:
        path = tmp_path / "twice.json"
        path.write_text(results_text(Results([make_record(), make_record()]), packed=packed), encoding="utf-8")
        for load in (load_baseline, load_results):
            message = refusal(lambda load=load: load(tmp_path, tmp_path, str(path)))
            assert f"{path} has more than one record of minilm-linear-probe-seed42" in message

    def test_a_baseline_without_a_measured_cell_is_refused(self, tmp_path: Path) -> None:
        path = baseline_path(tmp_path, "main")
        path.parent.mkdir()
        path.write_text(results_text(Results([], [FAILURE])), encoding="utf-8")
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))
        assert message == "baseline 'main' has no measured cell, so nothing can be compared with it."


class TestNewest:
    """The costs of cells are taken from it if no baseline is named."""

    @staticmethod
    def write(folder: Path, name: str, saved: str) -> None:
        path = baseline_path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(results_text(Results([make_record()], saved=saved)), encoding="utf-8")

    def test_it_is_the_last_saved_whatever_the_names_and_file_times(self, tmp_path: Path) -> None:
        self.write(tmp_path, "z", "2026-08-01T12:00:00+00:00")
        self.write(tmp_path, "main", "2026-08-03T12:00:00+00:00")
        self.write(tmp_path, "a", "2026-08-02T12:00:00+00:00")
        results, _ = newest_baseline(tmp_path)
        assert results is not None
        assert (results.origin, results.saved, len(results.records)) == ("main", "2026-08-03T12:00:00+00:00", 1)

    def test_of_baselines_saved_at_once_it_is_the_last_by_name(self, tmp_path: Path) -> None:
        for name in ("b", "c", "a"):
            self.write(tmp_path, name, "2026-08-01T12:00:00+00:00")
        results, _ = newest_baseline(tmp_path)
        assert results is not None
        assert results.origin == "c"

    def test_a_baseline_without_a_time_is_the_oldest(self, tmp_path: Path) -> None:
        self.write(tmp_path, "z", "")
        self.write(tmp_path, "a", "2020-01-01T00:00:00+00:00")
        results, _ = newest_baseline(tmp_path)
        assert results is not None
        assert results.origin == "a"

    def test_without_baselines_there_is_none(self, tmp_path: Path) -> None:
        assert newest_baseline(tmp_path) == (None, [])

    def test_what_is_no_baseline_is_skipped_and_named(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a", "2026-08-01T12:00:00+00:00")
        folder = tmp_path / ".sst2"
        (folder / "half.json").write_bytes((folder / "a.json").read_bytes()[:200])
        (folder / "a copy.json").write_bytes((folder / "a.json").read_bytes())
        (folder / "._a.json").write_bytes(b"\0\5\x16\7")
        (folder / "b.json").mkdir()
        (folder / "broken.json").symlink_to("nowhere.json")
        (folder / "itself.json").symlink_to("itself.json")
        (folder / "empty.json").write_text(results_text(Results([], [FAILURE])), encoding="utf-8")
        results, skipped = newest_baseline(tmp_path)
        assert results is not None
        assert results.origin == "a"
        names = ("half", "a copy", "._a", "b", "broken", "itself", "empty")
        assert len(skipped) == len(names)
        for name in names:
            assert any(sentence.startswith("skipped: ") and name in sentence for sentence in skipped), name
        assert saved_baselines(tmp_path) == ["a", "empty", "half"]

    def test_a_folder_that_is_a_link_to_itself_has_none(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2").symlink_to(".sst2")
        assert newest_baseline(tmp_path) == (None, [])
