"""Baselines: kept by name, found by name or path, and never replaced by accident."""

from __future__ import annotations

import dataclasses
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
)
from pytest_sst2.results.file import results_text
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
    save_baseline(path, [make_record()], [], overwrite=False)
    return path


class TestNames:
    @pytest.mark.parametrize("name", ["main", "v1.2.3", "2026-08-01", "_x", "a" * 100])
    def test_a_name_is_a_file_in_the_projects_folder(self, tmp_path: Path, name: str) -> None:
        assert baseline_path(tmp_path, name) == tmp_path / ".sst2" / f"{name}.json"

    @pytest.mark.parametrize(
        "name", ["", ".", "..", "../main", "a/b", "a\\b", ".hidden", "-x", "a b", "main\n", "café", "C:main", "a" * 300]
    )
    def test_what_is_no_file_name_on_every_system_is_refused(self, tmp_path: Path, name: str) -> None:
        message = refusal(lambda: baseline_path(tmp_path, name))
        assert f"{quoted(name)} is not a baseline name" in message
        assert "'main'" in message

    @pytest.mark.parametrize("name", ["../main", "a" * 300])
    def test_they_are_refused_before_the_work_too(self, tmp_path: Path, name: str) -> None:
        assert "is not a baseline name" in refusal(lambda: check_free(tmp_path, name, overwrite=True))


class TestSaving:
    def test_what_was_saved_is_found_by_its_name_with_the_time_it_was_saved(self, tmp_path: Path) -> None:
        path = check_free(tmp_path, "main", overwrite=False)
        save_baseline(path, [make_record()], [FAILURE], overwrite=False)
        found = load_baseline(tmp_path, tmp_path, "main")
        assert [dataclasses.replace(record, probabilities=()) for record in found.records] == [SAVED]
        assert (found.failures, found.origin) == ([FAILURE], "main")
        assert found.saved.startswith("20")
        assert found.saved.endswith("+00:00")

    def test_checking_writes_nothing(self, tmp_path: Path) -> None:
        check_free(tmp_path, "main", overwrite=False)
        assert list(tmp_path.iterdir()) == []

    def test_a_name_that_is_taken_is_refused_before_the_work_with_both_ways_on(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        message = refusal(lambda: check_free(tmp_path, "main", overwrite=False))
        parts = ["--sst2-save main", str(path), "another name", "--sst2-overwrite"]
        assert [part for part in parts if part not in message] == []
        assert check_free(tmp_path, "main", overwrite=True) == path

    def test_one_that_appears_between_check_and_writing_is_not_replaced(self, tmp_path: Path) -> None:
        path = check_free(tmp_path, "main", overwrite=False)
        theirs = save(tmp_path, "main").read_bytes()
        message = refusal(lambda: save_baseline(path, [make_record(seed=7)], [], overwrite=False))
        assert str(path) in message
        assert "What was there is unchanged" in message
        assert path.read_bytes() == theirs
        assert [each.name for each in path.parent.iterdir()] == ["main.json"]

    def test_a_command_with_another_option_is_answered_in_its_own_words(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        assert refusal(lambda: check_free(tmp_path, "main", overwrite=False, option="--save")) == (
            f"--save main: there is a baseline of that name in {str(path)!r}. Choose another name, or add --overwrite "
            "to replace it."
        )

    def test_it_is_packed_so_that_what_cells_have_in_common_stands_there_once(self, tmp_path: Path) -> None:
        path = baseline_path(tmp_path, "main")
        records = [make_record(seed=seed, cell=f"minilm-linear-probe-seed{seed}") for seed in range(5)]
        save_baseline(path, records, [], overwrite=False)
        text = path.read_text(encoding="utf-8")
        assert text.count('"cpu_model"') == 1
        assert [record.seed for record in load_baseline(tmp_path, tmp_path, "main").records] == [0, 1, 2, 3, 4]

    def test_with_overwrite_it_is_replaced(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        save_baseline(path, [make_record(seed=7)], [], overwrite=True)
        assert [record.seed for record in load_baseline(tmp_path, tmp_path, "main").records] == [7]

    @pytest.mark.parametrize("overwrite", [False, True])
    def test_an_interrupt_leaves_the_old_one_whole_and_no_half_of_the_new(
        self, tmp_path: Path, overwrite: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        path = save(tmp_path, "main")
        before = path.read_bytes()
        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save_baseline(path, [make_record(seed=7)], [], overwrite=overwrite)
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == ["main.json"]

    def test_a_file_in_the_place_of_the_folder_is_refused_before_the_work(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2").write_text("a file", encoding="utf-8")
        path = tmp_path / ".sst2" / "main.json"
        sentence = f"{str(path)!r} cannot be written: {str(tmp_path / '.sst2')!r} is not a writable folder."
        assert refusal(lambda: check_free(tmp_path, "main", overwrite=False)) == f"--sst2-save {sentence}"
        told = refusal(lambda: check_free(tmp_path, "main", overwrite=False, option="--save"))
        assert told == f"--save {sentence}"

    def test_a_folder_of_the_baselines_name_is_refused_before_the_work(self, tmp_path: Path) -> None:
        (tmp_path / ".sst2" / "main.json").mkdir(parents=True)
        assert "is a folder" in refusal(lambda: check_free(tmp_path, "main", overwrite=True))


class TestFinding:
    def test_a_path_of_any_results_file_will_do(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "now.json").write_text(results_text([make_record()], []), encoding="utf-8")
        project = tmp_path / "project"
        for wanted in ("out/now.json", str(tmp_path / "out" / "now.json")):
            found = load_baseline(project, tmp_path, wanted)
            assert (list(found.records), found.origin) == ([make_record()], wanted)

    def test_a_name_goes_before_a_file_of_that_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        (tmp_path / "main").write_text("something else", encoding="utf-8")
        assert find_baseline(tmp_path, tmp_path, "main") == path

    def test_the_projects_folder_is_looked_into_wherever_relative_paths_start(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        assert find_baseline(tmp_path, tmp_path / "below", "main") == path

    def test_a_misspelt_name_is_answered_with_the_nearest_and_all_there_are(self, tmp_path: Path) -> None:
        for name in ("release-1", "main"):
            save(tmp_path, name)
        message = refusal(lambda: find_baseline(tmp_path, tmp_path, "mian"))
        assert message.endswith("no baseline 'mian': it is neither a file nor one of main, release-1. "
                                "Did you mean 'main'?")  # fmt: skip
        assert refusal(lambda: find_baseline(tmp_path, tmp_path, "elsewhere/x.json")).endswith(
            "no baseline 'elsewhere/x.json': it is neither a file nor one of main, release-1."
        )

    def test_a_file_is_found_from_the_home_folder_and_one_whose_name_is_no_path_is_not_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "now.json").write_text(results_text([make_record()], []), encoding="utf-8")
        assert find_baseline(tmp_path / "project", tmp_path, "~/now.json") == tmp_path / "now.json"

    @pytest.mark.parametrize("wanted", ["main", "a" * 300, "~nobody-of-this-name/x.json", "nul\0byte", "no/where.json"])
    def test_where_there_is_none_it_says_how_to_save_one(self, tmp_path: Path, wanted: str) -> None:
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, wanted))
        parts = [f"no baseline {quoted(wanted)}", str(tmp_path / ".sst2"), "Save one with --sst2-save NAME."]
        assert [part for part in parts if part not in message] == []

    @pytest.mark.parametrize("wanted", ["main", ".sst2/main.json"])
    def test_a_folder_is_no_baseline(self, tmp_path: Path, wanted: str) -> None:
        (tmp_path / ".sst2" / "main.json").mkdir(parents=True)
        assert "no baseline" in refusal(lambda: load_baseline(tmp_path, tmp_path, wanted))

    def test_the_nearest_folder_upwards_with_baselines_is_the_project(self, tmp_path: Path) -> None:
        below = tmp_path / "a" / "b"
        below.mkdir(parents=True)
        assert project_folder(below) == below
        save(tmp_path, "main")
        assert project_folder(below) == project_folder(tmp_path) == tmp_path


class TestReading:
    def test_a_file_that_is_not_utf8_is_a_sentence_with_its_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        path.write_bytes(b'{"schema_version": 2, "saved": "\xe9"}')
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))
        assert f"{path}, line 1: not valid UTF-8" in message

    @needs_posix
    def test_a_file_that_may_not_be_read_is_a_sentence_with_its_name(self, tmp_path: Path) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path = save(tmp_path, "main")
        path.chmod(0)
        assert f"{path} cannot be read" in refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))

    def test_a_damaged_or_newer_file_is_a_sentence_with_its_name(self, tmp_path: Path) -> None:
        path = save(tmp_path, "main")
        whole = path.read_text(encoding="utf-8")
        for text in ("", whole[:-500], whole.replace('"schema_version": 4', '"schema_version": 5')):
            path.write_text(text, encoding="utf-8")
            assert str(path) in refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))

    @pytest.mark.parametrize("packed", [False, True])
    def test_one_with_two_numbers_for_a_cell_is_refused_whatever_their_order(
        self, tmp_path: Path, packed: bool
    ) -> None:
        path = tmp_path / "twice.json"
        path.write_text(results_text([make_record(), make_record()], [], packed=packed), encoding="utf-8")
        for load in (load_baseline, load_results):
            message = refusal(lambda load=load: load(tmp_path, tmp_path, str(path)))
            assert f"{path} has more than one record of minilm-linear-probe-seed42" in message

    def test_one_without_a_measured_cell_is_refused(self, tmp_path: Path) -> None:
        path = baseline_path(tmp_path, "main")
        save_baseline(path, [], [FAILURE], overwrite=False)
        message = refusal(lambda: load_baseline(tmp_path, tmp_path, "main"))
        sentence = f"baseline {str(path)!r} has no measured cell, so nothing can be compared with it."
        assert message == sentence
        # Also where it was asked for by a path, from another folder than the project's.
        assert refusal(lambda: load_baseline(tmp_path / "elsewhere", path.parent, "main.json")) == sentence


class TestNewest:
    """What the costs of cells are taken from where no baseline is named."""

    @staticmethod
    def write(folder: Path, name: str, saved: str) -> None:
        path = baseline_path(folder, name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(results_text([make_record()], [], saved=saved), encoding="utf-8")

    def test_it_is_the_one_saved_last_whatever_the_names_and_the_dates_of_the_files(self, tmp_path: Path) -> None:
        self.write(tmp_path, "z", "2026-08-01T12:00:00+00:00")
        self.write(tmp_path, "main", "2026-08-03T12:00:00+00:00")
        self.write(tmp_path, "a", "2026-08-02T12:00:00+00:00")
        found = newest_baseline(tmp_path)
        assert found is not None
        assert (found.origin, found.saved, len(found.records)) == ("main", "2026-08-03T12:00:00+00:00", 1)

    def test_of_several_saved_at_once_it_is_the_last_by_name(self, tmp_path: Path) -> None:
        for name in ("b", "c", "a"):
            self.write(tmp_path, name, "2026-08-01T12:00:00+00:00")
        found = newest_baseline(tmp_path)
        assert found is not None
        assert found.origin == "c"

    def test_one_that_does_not_say_when_is_older_than_all_others(self, tmp_path: Path) -> None:
        self.write(tmp_path, "z", "")
        self.write(tmp_path, "a", "2020-01-01T00:00:00+00:00")
        found = newest_baseline(tmp_path)
        assert found is not None
        assert found.origin == "a"

    def test_without_any_there_is_none(self, tmp_path: Path) -> None:
        assert newest_baseline(tmp_path) is None

    def test_one_that_cannot_be_read_leaves_it_unknown_which_is_the_newest(self, tmp_path: Path) -> None:
        self.write(tmp_path, "a", "2026-08-01T12:00:00+00:00")
        self.write(tmp_path, "b", "2026-08-01T12:00:00+00:00")
        path = baseline_path(tmp_path, "a")
        path.write_text("{", encoding="utf-8")
        assert str(path) in refusal(lambda: newest_baseline(tmp_path))
