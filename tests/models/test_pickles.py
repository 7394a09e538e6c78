"""Test that pickled weights become equal safetensors in the cache, whatever interrupts it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pytest_sst2.models import pickles
from pytest_sst2.models.layout import pickle_files
from pytest_sst2.models.pickle_reader import read_tensors, write_tensors
from pytest_sst2.models.pickles import Conversion, convert
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error
from tests.support.pickled_weights import PICKLE, SAFE, Call, assert_equal


@pytest.fixture
def model(plain: Path) -> Path:
    """Return the folder of a tiny BERT whose only weights are a pickle."""
    torch.save(OrderedDict(load_file(plain / SAFE)), plain / PICKLE)
    (plain / SAFE).unlink()
    return plain


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read pickles in this process: starting a child and importing torch takes seconds."""

    def ask(pickled: dict[Path, list[Path]], folder: Path, scratch: Path) -> str:
        for place, files in pickled.items():
            write_tensors(read_tensors(files), scratch / place.relative_to(folder) / SAFE)
        return ""

    monkeypatch.setattr(pickles, "_ask_child", ask)


def converted(folder: Path, *places: Path) -> Conversion:
    return convert("tiny", folder, places or (folder,))


def entries() -> list[Path]:
    folder = cache_folder() / "converted"
    return [path for path in folder.iterdir() if path.suffix != ".lock"] if folder.is_dir() else []


class TestConversion:
    def test_child_writes_a_folder_that_transformers_loads(self, model: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        (model / "modeling.py").write_text("")
        (model / "tf_model.h5").write_bytes(b"h5")
        original = torch.load(model / PICKLE, weights_only=True)
        digest = pickles.file_digest(model / PICKLE)
        conversion = converted(model)
        assert conversion.note == f"converted from {PICKLE} (sha256 {digest[:12]}…)"
        assert entries() == [conversion.folder]
        names = {path.name for path in model.iterdir()} - {PICKLE, "modeling.py", "tf_model.h5"}
        assert {path.name for path in conversion.folder.iterdir()} == names | {SAFE}
        assert_equal(load_file(conversion.folder / SAFE), original)
        loaded = AutoModel.from_pretrained(conversion.folder, use_safetensors=True)
        assert_equal(dict(loaded.state_dict()), dict(original))
        assert len(AutoTokenizer.from_pretrained(conversion.folder)) > 5

    def test_second_call_starts_no_process(
        self, model: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = converted(model)
        monkeypatch.setattr(pickles, "_ask_child", lambda *_: pytest.fail("a second conversion"))
        assert converted(model) == first

    def test_copy_that_lost_its_weights_is_written_again(self, model: Path, in_process: None) -> None:
        folder = converted(model).folder
        (folder / SAFE).unlink()
        assert converted(model).folder == folder
        assert (folder / SAFE).is_file()

    def test_change_of_a_copied_file_leads_to_another_folder(self, model: Path, in_process: None) -> None:
        first = converted(model).folder
        (model / "config.json").write_text((model / "config.json").read_text() + "\n")
        second = converted(model).folder
        assert second != first
        assert (second / "config.json").read_text().endswith("\n\n")

    def test_only_the_folders_named_are_converted(self, model: Path, in_process: None) -> None:
        dense, other = model / "2_Dense", model / "3_Dense"
        for place in (dense, other):
            place.mkdir()
            (place / "config.json").write_text("{}")
        torch.save({"linear.weight": torch.eye(2)}, dense / PICKLE)
        shutil.copyfile(converted(model).folder / SAFE, other / SAFE)
        conversion = converted(model, model, dense)
        assert conversion.note.endswith("…) and 1 more")
        assert load_file(conversion.folder / "2_Dense" / SAFE)["linear.weight"].tolist() == [[1, 0], [0, 1]]
        assert (conversion.folder / "3_Dense" / SAFE).read_bytes() == (other / SAFE).read_bytes()
        assert not list(conversion.folder.rglob("*.bin"))

    def test_links_into_the_cache_of_the_hub_become_files(self, model: Path, tmp_path: Path, in_process: None) -> None:
        blobs = tmp_path / "blobs"
        blobs.mkdir()
        for path in [path for path in model.iterdir() if path.is_file()]:
            path.symlink_to(path.rename(blobs / path.name))
        folder = converted(model).folder
        assert not any(path.is_symlink() for path in folder.rglob("*"))
        assert (folder / "config.json").read_bytes() == (model / "config.json").read_bytes()

    def test_shards_become_one_file(self, model: Path, in_process: None) -> None:
        tensors = torch.load(model / PICKLE, weights_only=True)
        keys, names = sorted(tensors), [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
        weight_map = {key: names[number % 2] for number, key in enumerate(keys)}
        for name in names:
            torch.save({key: tensors[key] for key in keys if weight_map[key] == name}, model / name)
        (model / f"{PICKLE}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        (model / PICKLE).unlink()
        assert pickle_files(model) == [model / name for name in names]
        conversion = converted(model)
        assert conversion.note.startswith(f"converted from {names[0]} (sha256 ")
        assert conversion.note.endswith(" and 1 more")
        assert_equal(load_file(conversion.folder / SAFE), tensors)
        assert not list(conversion.folder.glob("*.index.json"))

    def test_folder_without_all_shards_has_no_pickles(self, tmp_path: Path) -> None:
        assert pickle_files(tmp_path) == []
        (tmp_path / "a.bin").write_bytes(b"")
        index = tmp_path / f"{PICKLE}.index.json"
        index.write_text(json.dumps({"weight_map": {"x": "a.bin", "y": "b.bin"}}))
        assert pickle_files(tmp_path) == []
        with pytest.raises(Sst2Error, match=r"model 'tiny': .* has no \(or not all\) pickled weights"):
            converted(tmp_path)
        index.write_text(json.dumps({"weight_map": {"x": "../a.bin"}}))
        with pytest.raises(Sst2Error, match="outside the model's folder"):
            pickle_files(tmp_path)
        index.write_text("[]")
        with pytest.raises(Sst2Error, match="has no weight_map"):
            pickle_files(tmp_path)


class TestFailures:
    def test_child_refuses_it(self, model: Path, tmp_path: Path) -> None:
        marker = tmp_path / "it-ran"
        torch.save({"a": Call(os.system, f"touch {marker}")}, model / PICKLE)
        with pytest.raises(
            Sst2Error, match=r"model 'tiny': pytorch_model\.bin is refused: it names 'posix\.system', .* run code\. Use"
        ):
            converted(model)
        assert not marker.exists()
        assert entries() == []

    @pytest.mark.parametrize("version", ["2.4.1", "2.5.1+cu121", "1.13"])
    def test_old_torch_is_refused(self, version: str, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pickles.metadata, "version", lambda _name: version)
        with pytest.raises(Sst2Error) as caught:
            converted(model)
        expected = f"model 'tiny': torch {version} cannot read pickled weights safely; torch 2.6 or later can. Upgrade"
        assert str(caught.value).startswith(expected)
        assert entries() == []

    @pytest.mark.parametrize("version", ["2.6.0", "2.13.0+cpu", "3.0"])
    def test_later_torch_is_accepted(self, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pickles.metadata, "version", lambda _name: version)
        pickles._refuse_old_torch("tiny")

    @pytest.mark.parametrize(
        ("child", "message"),
        [
            ("import time; time.sleep(60)", "reading its pickled weights took longer than 0 s"),
            ("import os; os.abort()", "ended early (status -6)"),
            ("raise SystemExit('no \\x1b[2Jtorch')", "ended early (no �[2Jtorch)"),
            ("print('[]')", "ended early (status 0)"),
        ],
        ids=["hangs", "crashes", "fails", "answers nonsense"],
    )
    def test_child_without_an_answer(
        self, child: str, message: str, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pickles, "command_of", lambda _: [sys.executable, "-c", child])
        monkeypatch.setattr(pickles, "_START_SECONDS", 0.3 if "sleep" in child else 60)
        with pytest.raises(Sst2Error, match="model 'tiny'") as caught:
            converted(model)
        assert message in str(caught.value)
        assert entries() == []

    def test_interrupt_leaves_nothing(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupt(*_: Any, **__: Any) -> None:
            assert len(entries()) == 1
            raise KeyboardInterrupt

        monkeypatch.setattr(pickles.subprocess, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            converted(model)
        assert entries() == []

    def test_kill_leaves_no_copy_and_the_next_run_sweeps(
        self, model: Path, in_process: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        code = f"""
import time
from pathlib import Path
from pytest_sst2.models import pickles
pickles._ask_child = lambda *_: time.sleep(60)
pickles.convert("tiny", Path({str(model)!r}), [Path({str(model)!r})])
"""
        process = subprocess.Popen([sys.executable, "-c", code])
        end = time.monotonic() + 60
        while not any((entry / "config.json").is_file() for entry in entries()) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        (abandoned,) = entries()
        folder = converted(model).folder
        assert sorted(entries()) == sorted([abandoned, folder])  # it could be at work still
        os.utime(abandoned, (0, 0))
        (folder / SAFE).unlink()
        converted(model)
        assert entries() == [folder]

    def test_faster_machine_wins(self, model: Path, in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
        ask = pickles._ask_child
        winner = converted(model).folder
        kept = winner.rename(cache_folder() / "kept")

        def late(*arguments: Any) -> str:
            kept.rename(winner)
            return ask(*arguments)

        monkeypatch.setattr(pickles, "_ask_child", late)
        inode = kept.stat().st_ino
        assert converted(model).folder == winner
        assert winner.stat().st_ino == inode
        assert entries() == [winner]

    def test_full_disk(self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fail(*_: Any, **__: Any) -> None:
            raise full

        monkeypatch.setattr("safetensors.torch.save_file", fail)
        with pytest.raises(Sst2Error, match=r"No space left on device.*Check free space"):
            write_tensors({"a": torch.ones(2)}, tmp_path / SAFE)
        monkeypatch.setattr(pickles.shutil, "copyfile", fail)
        with pytest.raises(Sst2Error, match=r"model 'tiny': .*No space left on device.*PYTEST_SST2_CACHE"):
            converted(model)
        assert entries() == []
