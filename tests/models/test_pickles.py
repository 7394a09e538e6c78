"""Test that pickled weights become equal safetensors, and that no code of a pickle runs."""

from __future__ import annotations

import errno
import functools
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pytest_sst2.models import pickles
from pytest_sst2.models.pickles import Conversion, convert, pickle_files, read_tensors
from pytest_sst2.utils.cache_dir import cache_folder
from pytest_sst2.utils.errors import Sst2Error

PICKLE = "pytorch_model.bin"
SAFE = "model.safetensors"
old_format = functools.partial(torch.save, _use_new_zipfile_serialization=False)
both_formats = pytest.mark.parametrize("save", [torch.save, old_format], ids=["zip", "before 1.6"])


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


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
            pickles._write(read_tensors(files), scratch / place.relative_to(folder) / SAFE)
        return ""

    monkeypatch.setattr(pickles, "_ask_child", ask)


def converted(folder: Path, *places: Path) -> Conversion:
    return convert("tiny", folder, places or (folder,))


def refusal(path: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        read_tensors([path])
    return str(caught.value)


def entries() -> list[Path]:
    folder = cache_folder() / "converted"
    return [path for path in folder.iterdir() if path.suffix != ".lock"] if folder.is_dir() else []


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for key, tensor in left.items():
        assert tensor.dtype == right[key].dtype
        assert torch.equal(tensor, right[key]), key


def raw_pickle(module: str, name: str) -> bytes:
    """Return a pickle of protocol 0 that names a global."""
    return f"c{module}\n{name}\n.".encode()


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


class TestTensors:
    @both_formats
    def test_values_and_types_stay(self, save: Callable[..., None], tmp_path: Path) -> None:
        tensors = {
            "half": torch.arange(6, dtype=torch.float16).view(2, 3),
            "bfloat": torch.ones(3, dtype=torch.bfloat16),
            "ids": torch.arange(5).expand(1, 5),
            "mask": torch.tensor([True, False]),
            "scalar": torch.tensor(2.5),
            "empty": torch.empty(0, 4),
            "transposed": torch.arange(6.0).view(2, 3).T,
        }
        save({**tensors, "parameter": torch.nn.Parameter(torch.ones(2))}, tmp_path / PICKLE)
        read = read_tensors([tmp_path / PICKLE])
        assert all(tensor.is_contiguous() and not tensor.requires_grad for tensor in read.values())
        pickles._write(read, tmp_path / SAFE)
        assert_equal(load_file(tmp_path / SAFE), {**tensors, "parameter": torch.ones(2)})

    @both_formats
    def test_tied_tensors_are_written_twice(self, save: Callable[..., None], tmp_path: Path) -> None:
        shared = torch.arange(12.0)
        save({"a": shared, "b": shared, "first": shared[:6].view(2, 3), "last": shared[6:]}, tmp_path / PICKLE)
        pickles._write(read_tensors([tmp_path / PICKLE]), tmp_path / SAFE)
        written = load_file(tmp_path / SAFE)
        assert_equal(written, {"a": shared, "b": shared, "first": shared[:6].view(2, 3), "last": shared[6:]})

    def test_state_dict_of_a_module(self, tmp_path: Path) -> None:
        state = torch.nn.Linear(2, 3).state_dict()
        assert state._metadata  # type: ignore[attr-defined]
        torch.save(state, tmp_path / PICKLE)
        assert_equal(read_tensors([tmp_path / PICKLE]), dict(state))

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ([torch.ones(2)], "holds list instead of named tensors"),
            (torch.ones(2), "holds Tensor instead of named tensors"),
            ({}, "holds no tensors"),
            ({"state_dict": {"a": torch.ones(2)}}, "holds 'state_dict' (dict), which is not a named tensor"),
            ({"a": torch.ones(2), "epoch": 3}, "holds 'epoch' (int), which is not a named tensor"),
            ({"__metadata__": torch.ones(2)}, "holds '__metadata__' (Tensor), which is not a named tensor"),
            ({7: torch.ones(2)}, "holds 7 (Tensor), which is not a named tensor"),
            ({"a\x1b[2J": torch.ones(2).to_sparse()}, r"holds 'a\x1b[2J', which is not a dense tensor"),
            ({"a": torch.ones(2, device="meta")}, "holds 'a', which is not a dense tensor"),
            ({"a": torch.zeros(1).expand(10**12)}, "claims tensors of 4,000,000,000,000 bytes, but has only"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_other_content_is_refused(self, content: Any, reason: str, tmp_path: Path) -> None:
        torch.save(content, tmp_path / PICKLE)
        assert refusal(tmp_path / PICKLE).startswith(f"{PICKLE} {reason}")

    @both_formats
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.99])
    def test_truncated_file_is_refused(self, share: float, save: Callable[..., None], tmp_path: Path) -> None:
        path = tmp_path / PICKLE
        save({"a": torch.ones(100)}, path)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        assert f"{PICKLE} is damaged or is not a pickle of tensors (" in refusal(path)

    @pytest.mark.parametrize("content", [b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 99, b"\x80\x02."])
    def test_other_bytes_are_refused(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / PICKLE).write_bytes(content)
        assert "is damaged or is not a pickle of tensors" in refusal(tmp_path / PICKLE)

    def test_compressed_zeros_are_refused(self, tmp_path: Path) -> None:
        path, small = tmp_path / "large.bin", tmp_path / PICKLE
        torch.save({"a": torch.zeros(10**6)}, path)
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as target:
            for name in source.namelist():
                target.writestr(name, source.read(name))
        assert f"{PICKLE} claims tensors of 4,000,000 bytes, but has only " in refusal(small)

    def test_old_format_that_declares_too_much_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / PICKLE
        old_format({"a": torch.ones(3)}, path)
        content, size = path.read_bytes(), struct.pack("<q", 3)
        assert content.count(size) == 1
        path.write_bytes(content.replace(size, struct.pack("<q", 10**15)))
        assert "is damaged or is not a pickle of tensors" in refusal(path)

    @pytest.mark.filterwarnings("ignore:ComplexHalf")
    def test_type_that_safetensors_lacks(self, tmp_path: Path) -> None:
        with pytest.raises(Sst2Error, match=r"cannot be written as safetensors .*another model"):
            pickles._write({"a": torch.ones(2, dtype=torch.complex32)}, tmp_path / SAFE)


class TestPlantedCode:
    @both_formats
    @pytest.mark.parametrize("command", ["os.system", "eval", "mkdir"])
    def test_it_is_named_and_does_not_run(self, command: str, save: Callable[..., None], tmp_path: Path) -> None:
        marker = tmp_path / "it-ran"
        call = {
            "os.system": Call(os.system, f"touch {marker}"),
            "eval": Call(eval, f"open({str(marker)!r}, 'w')"),
            "mkdir": Call(os.mkdir, str(marker)),
        }[command]
        save({"a": torch.ones(2), "b": call}, tmp_path / PICKLE)
        name = {"os.system": "posix.system", "eval": "eval", "mkdir": "posix.mkdir"}[command]
        assert f"{PICKLE} is refused: it names '{name}" in refusal(tmp_path / PICKLE)
        assert not marker.exists()

    @pytest.mark.filterwarnings("ignore:Detected pickle protocol")
    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_plain_pickle(self, protocol: int, tmp_path: Path) -> None:
        marker = tmp_path / "it-ran"
        (tmp_path / PICKLE).write_bytes(pickle.dumps(Call(os.system, f"touch {marker}"), protocol))
        assert PICKLE in refusal(tmp_path / PICKLE)
        assert not marker.exists()

    def test_child_refuses_it(self, model: Path, tmp_path: Path) -> None:
        marker = tmp_path / "it-ran"
        torch.save({"a": Call(os.system, f"touch {marker}")}, model / PICKLE)
        with pytest.raises(
            Sst2Error, match=r"model 'tiny': pytorch_model\.bin is refused: it names 'posix\.system', .* run code\. Use"
        ):
            converted(model)
        assert not marker.exists()
        assert entries() == []

    def test_hostile_name_prints_clean(self, tmp_path: Path) -> None:
        (tmp_path / PICKLE).write_bytes(raw_pickle("po\x1b[31msix\u202e", "\x07" + "x" * 5000))
        message = refusal(tmp_path / PICKLE)
        assert r"names 'po\x1b[31msix\u202e.\x07xxx" in message
        assert len(message) < 400

    def test_guard_of_the_child(self, tmp_path: Path) -> None:
        """Run code in a child as if torch had let it through: the audit hook refuses what it tries."""
        code = f"""
import functools, os, socket, subprocess, sys
from pathlib import Path
from pytest_sst2.models.pickles import _refuse_side_effects
scratch = Path({str(tmp_path)!r}).resolve() / "scratch"
scratch.mkdir()
sys.addaudithook(functools.partial(_refuse_side_effects, scratch))
open(scratch / "a", "w").close()
open(sys.executable, "rb").close()
for attempt in (
    lambda: os.system("true"), lambda: subprocess.run(["true"]), os.fork, lambda: os.execv("/bin/true", ["true"]),
    lambda: os.posix_spawn("/bin/true", ["true"], {{}}), socket.socket, lambda: socket.getaddrinfo("localhost", 1),
    lambda: open(scratch.parent / "b", "w"), lambda: open(scratch / "../b", "a"),
    lambda: os.open(bytes(scratch.parent / "b"), os.O_CREAT | os.O_WRONLY),
):
    try:
        attempt()
    except PermissionError as error:
        assert "is not allowed while a pickle is read" in str(error), error
    else:
        raise SystemExit("not refused")
print("done")
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert child.stdout == "done\n", child.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["scratch"]

    @pytest.mark.skipif(sys.platform != "linux", reason="the memory limit exists on Linux only")
    def test_memory_is_limited(self) -> None:
        code = """
import torch
from pytest_sst2.models.pickles import _limit_memory
_limit_memory(1000)
torch.zeros(1 << 20)
try:
    torch.zeros(1 << 30)
except RuntimeError as error:
    print("allocate memory" in str(error))
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert child.stdout == "True\n", child.stderr


class TestFailures:
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
            pickles._write({"a": torch.ones(2)}, tmp_path / SAFE)
        monkeypatch.setattr(pickles.shutil, "copyfile", fail)
        with pytest.raises(Sst2Error, match=r"model 'tiny': .*No space left on device.*PYTEST_SST2_CACHE"):
            converted(model)
        assert entries() == []
