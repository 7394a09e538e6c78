"""Test that the tensors of a pickle stay as they are, and that none of its code runs."""

from __future__ import annotations

import functools
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pytest_sst2.models.pickle_reader import read_tensors, write_tensors
from pytest_sst2.utils.errors import Sst2Error
from tests.support.pickled_weights import PICKLE, SAFE, Call, assert_equal

old_format = functools.partial(torch.save, _use_new_zipfile_serialization=False)
both_formats = pytest.mark.parametrize("save", [torch.save, old_format], ids=["zip", "before 1.6"])


def refusal(path: Path) -> str:
    with pytest.raises(Sst2Error) as caught:
        read_tensors([path])
    return str(caught.value)


def raw_pickle(module: str, name: str) -> bytes:
    """Return a pickle of protocol 0 that names a global."""
    return f"c{module}\n{name}\n.".encode()


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
        write_tensors(read, tmp_path / SAFE)
        assert_equal(load_file(tmp_path / SAFE), {**tensors, "parameter": torch.ones(2)})

    @both_formats
    def test_tied_tensors_are_written_twice(self, save: Callable[..., None], tmp_path: Path) -> None:
        shared = torch.arange(12.0)
        save({"a": shared, "b": shared, "first": shared[:6].view(2, 3), "last": shared[6:]}, tmp_path / PICKLE)
        write_tensors(read_tensors([tmp_path / PICKLE]), tmp_path / SAFE)
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
            write_tensors({"a": torch.ones(2, dtype=torch.complex32)}, tmp_path / SAFE)


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
from pytest_sst2.models.pickle_reader import _refuse_side_effects
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
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        assert child.stdout == "done\n", child.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["scratch"]

    @pytest.mark.skipif(sys.platform != "linux", reason="the memory limit exists on Linux only")
    def test_memory_is_limited(self) -> None:
        code = """
import torch
from pytest_sst2.models.pickle_reader import _limit_memory
_limit_memory(1000)
torch.zeros(1 << 20)
try:
    torch.zeros(1 << 30)
except RuntimeError as error:
    print("allocate memory" in str(error))
"""
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
        assert child.stdout == "True\n", child.stderr
