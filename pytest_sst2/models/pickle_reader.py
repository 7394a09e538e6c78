"""Read pickled weights in a child process and write them as safetensors; ``pickles`` starts it.

``torch.load(weights_only=True)`` rebuilds tensors and refuses everything else. An audit hook refuses the network,
other programs and writing outside the scratch folder, should a pickle run code all the same.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted, truncate

if TYPE_CHECKING:
    import torch

# Name of the file that replaces the pickles of a folder.
CONVERTED_NAME = "model.safetensors"
_FORBIDDEN = ("socket.", "subprocess.", "pty.", *(f"os.{call}" for call in ("system", "exec", "posix_spawn", "spawn")))
_FORBIDDEN += ("os.fork", "os.startfile")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Tied tensors are stored once; T5 has four names for its embeddings.
_MOST_COPIES = 4
_GLOBAL = re.compile(r"GLOBAL (.+?) (?:was not an allowed global|whose module)", re.DOTALL)
REMEDY = "Use another model, or write this one with save_pretrained() as safetensors where you trust it."
CHECK_CACHE = "Check free space and permissions of the cache's folder, or set PYTEST_SST2_CACHE to another folder."


def main() -> None:
    """Run the child process: convert the pickles named on standard input, write the answer to standard output."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries may print
    question = json.load(sys.stdin)
    scratch = Path(question["scratch"])
    importlib.import_module("safetensors.torch")  # before the limits: importing torch may write and run anything
    _limit_memory(question["bytes"])
    sys.addaudithook(functools.partial(_refuse_side_effects, scratch))
    problem = ""
    try:
        for place, files in question["jobs"].items():
            write_tensors(read_tensors([Path(path) for path in files]), scratch / place / CONVERTED_NAME)
    except Sst2Error as error:
        problem = str(error)
    answers.write(json.dumps({"problem": problem}))
    answers.flush()


def _limit_memory(size: int) -> None:
    """Limit the memory of the child on Linux, because a small pickle can request any amount.

    RLIMIT_AS would depend on the build of torch, which reserves several GB of address space. RLIMIT_DATA counts
    allocated memory only, and the memory that the imports allocated is known by then.
    """
    if sys.platform != "linux":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):  # no /proc, or a hard limit that is lower
        taken = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
        if taken:
            limit = 1024 * int(taken[1]) + 2 * _MOST_COPIES * size + 2**30
            resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _refuse_side_effects(scratch: Path, event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse network access, other programs, and writing outside the scratch folder, as an audit hook."""
    refused = event.startswith(_FORBIDDEN)
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING:
        path = arguments[0]
        refused = not isinstance(path, str) or not Path(path).resolve().is_relative_to(scratch)
    if refused:
        raise PermissionError(f"{event} is not allowed while a pickle is read")


def read_tensors(files: Sequence[Path]) -> dict[str, torch.Tensor]:
    """Return the tensors of pickles by name: contiguous, without shared memory.

    Raises:
        Sst2Error: A pickle is damaged, contains anything but named dense tensors, or claims more bytes than it has.
    """
    tensors: dict[str, torch.Tensor] = {}
    storages: set[int] = set()
    for path in files:
        try:
            for key, tensor in _loaded(path).items():
                dense = tensor.detach().resolve_conj().resolve_neg().contiguous()
                storage = dense.untyped_storage().data_ptr()
                tensors[key] = dense.clone() if storage in storages else dense
                storages.add(storage)
        except Sst2Error:
            raise
        except Exception as error:  # damaged or hostile bytes can raise any error
            raise Sst2Error(_reason(path, error)) from error
    return tensors


def _loaded(path: Path) -> dict[str, torch.Tensor]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not content:
        held = "no tensors" if isinstance(content, dict) else f"{type(content).__name__} instead of named tensors"
        raise Sst2Error(f"{path.name} holds {held}. {REMEDY}")
    for key, value in content.items():
        # The header of safetensors has its own entry __metadata__.
        if not isinstance(key, str) or key == "__metadata__" or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise Sst2Error(f"{path.name} holds {quoted(key)} ({kind}), which is not a named tensor. {REMEDY}")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
            raise Sst2Error(f"{path.name} holds {quoted(key)}, which is not a dense tensor. {REMEDY}")
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in content.values()}
    size, needed = path.stat().st_size, sum(value.numel() * value.element_size() for value in content.values())
    if sum(stored.values()) > size or needed > _MOST_COPIES * size:
        raise Sst2Error(f"{path.name} claims tensors of {needed:,} bytes, but has only {size:,} bytes. {REMEDY}")
    return content


def _reason(path: Path, error: Exception) -> str:
    """Return the error message for a pickle that torch cannot read."""
    if name := _GLOBAL.search(str(error)):
        named = quoted(name[1], 80)
        return f"{path.name} is refused: it names {named}, which is not part of a tensor and could run code. {REMEDY}"
    text = str(error).split("WeightsUnpickler error:")[-1].split("Check the documentation of torch.load")[0]
    reason = truncate(" ".join([type(error).__name__, *text.split()]), 200)
    return f"{path.name} is damaged or is not a pickle of tensors ({reason}). Download it again, or use another model."


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write tensors as a safetensors file, and create its folder.

    Raises:
        Sst2Error: The disk is full or read only, or safetensors has no such type.
    """
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata={"format": "pt"})
    except Exception as error:  # safetensors also raises SafetensorError for errors of the disk
        remedy = CHECK_CACHE if isinstance(error, OSError) or "os error" in str(error) else REMEDY
        reason = truncate(" ".join(str(error).split()), 200)
        raise Sst2Error(f"its pickled weights cannot be written as safetensors ({reason}). {remedy}") from error
