"""Test that an unknown model is loaded in a child process first, under bounds of time and memory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from pytest_sst2.models import trial_load
from pytest_sst2.models.loader import ModelLoader
from pytest_sst2.models.locate import LocatedModel
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from tests.support.loopback_hub import LoopbackHub
from tests.support.model_folders import edit_json, in_folder, locate, on_hub, refusal_of
from tests.support.tiny_models import write_fast_tokenizer

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks")


@pytest.fixture(autouse=True)
def _bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_SST2_LOAD_SECONDS", "60")
    monkeypatch.setattr(trial_load, "_problems", {})


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[LocatedModel]:
    """Collect the models that are tried, instead of trying them."""
    models: list[LocatedModel] = []

    def problem(located: LocatedModel, _seconds: float, _gigabytes: float) -> str:
        models.append(located)
        return ""

    monkeypatch.setattr(trial_load, "_problem", problem)
    return models


def growing_tokenizer(folder: Path) -> None:
    """Write a tokenizer that makes 10,000,000,000 letters of each ``e``."""
    write_fast_tokenizer(folder, pad_token="[PAD]", model_max_length=64)
    step = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 1000}
    edit_json(folder / "tokenizer.json", normalizer={"type": "Sequence", "normalizers": [step] * 4})


@needs_fork
def test_a_tokenizer_that_needs_too_much_memory_is_ended(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing_tokenizer(plain)
    monkeypatch.setenv("PYTEST_SST2_LOAD_GB", "0.5")
    assert "GB of memory (PYTEST_SST2_LOAD_GB)" in refusal_of(in_folder(plain))


@needs_fork
def test_a_sound_model_is_tried_in_a_fork_and_embeds_there(sentence: Path) -> None:
    located = locate(in_folder(sentence))
    assert [path.name for path in (cache_folder() / "loaded").iterdir()] == [trial_load._marker(located).name]  # type: ignore[union-attr]


@pytest.mark.processes
def test_a_new_interpreter_loads_a_sound_model(sentence: Path) -> None:
    located = locate(in_folder(sentence))
    assert trial_load._in_interpreter(str(located.folder), 300, 10) == ""


def test_the_same_files_are_tried_once_wherever_they_are(
    plain: Path, tmp_path: Path, tried: list[LocatedModel]
) -> None:
    locate(in_folder(plain))
    shutil.copytree(plain, tmp_path / "elsewhere")
    locate(in_folder(tmp_path / "elsewhere"))
    assert len(tried) == 1
    edit_json(plain / "tokenizer_config.json", model_max_length=63)
    locate(in_folder(plain))
    assert len(tried) == 2


def test_a_model_of_the_hub_that_is_not_in_the_catalogue_is_tried(
    server: LoopbackHub, plain: Path, tried: list[LocatedModel]
) -> None:
    server.add("org/mine", plain)
    locate(on_hub("org/mine"))
    server.add("distilbert/distilbert-base-uncased", plain)
    locate(on_hub("distilbert/distilbert-base-uncased"))
    assert [located.spec.hub_id for located in tried] == ["org/mine"]


@pytest.mark.parametrize("variable", ["PYTEST_SST2_LOAD_SECONDS", "PYTEST_SST2_LOAD_GB"])
def test_without_bounds_nothing_is_tried(
    plain: Path, variable: str, tried: list[LocatedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "0")
    locate(in_folder(plain))
    assert not tried


@pytest.mark.parametrize("text", ["fast", "-1", "inf", "nan"])
def test_a_bound_must_be_a_number(plain: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_SST2_LOAD_GB", text)
    assert f"PYTEST_SST2_LOAD_GB is {text!r}" in refusal_of(in_folder(plain))


def test_a_refused_model_is_tried_once_per_process_and_again_in_the_next(
    plain: Path, tried: list[LocatedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_load, "_problem", lambda located, *_: tried.append(located) or "took too long")
    loader = ModelLoader()
    for _ in range(2):
        with pytest.raises(Sst2Error, match="took too long"):
            loader.locate(in_folder(plain))
    assert len(tried) == 1
    monkeypatch.setattr(trial_load, "_problems", {})
    refusal_of(in_folder(plain))
    assert len(tried) == 2


@needs_fork
@pytest.mark.parametrize("problem", ["took longer than 30 s", "ended the process that tried it with signal 11"])
def test_a_fork_that_fails_is_confirmed_by_a_new_interpreter(
    plain: Path, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_load, "_in_fork", lambda *_: problem)
    monkeypatch.setattr(trial_load, "_in_interpreter", lambda *_: "")
    locate(in_folder(plain))


def test_a_cache_that_cannot_be_written_ends_no_run(
    plain: Path, tmp_path: Path, tried: list[LocatedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYTEST_SST2_CACHE", str(tmp_path / "file"))
    locate(in_folder(plain))
    assert tried


class TestWatch:
    def test_a_status_of_the_library_is_no_problem_and_a_signal_is(self) -> None:
        assert trial_load._watch(lambda: 1, os.getpid(), 9, 99) == ""
        assert "signal 11" in trial_load._watch(lambda: -11, os.getpid(), 9, 99)

    def test_time_and_memory_are_bounded(self) -> None:
        assert "longer than" in trial_load._watch(lambda: None, os.getpid(), 0.01, 99)
        assert "memory" in trial_load._watch(lambda: None, os.getpid(), 9, 0.001)
