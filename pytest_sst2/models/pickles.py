"""Convert pickled weights to safetensors without running code of the pickle.

``torch.load(weights_only=True)`` rebuilds tensors and refuses everything else. It runs in a child process that may not
use the network, start programs or write outside its scratch folder. The result is stored in the cache.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from pytest_sst2.models.safety import path_inside
from pytest_sst2.utils.cache_dir import CONVERTED, cache_folder, make_room
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import duration, quoted, shorten, truncate
from pytest_sst2.utils.hashing import file_digest, sha256_digest
from pytest_sst2.utils.locks import one_at_a_time
from pytest_sst2.utils.processes import command_of
from pytest_sst2.utils.safe_read import read_json

if TYPE_CHECKING:
    import torch

_PICKLE, _INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
_CONVERTED = "model.safetensors"
# Part of every digest: increase it if the same pickles are converted differently.
_FORMAT = 1
# Converted models that were not used today are removed above this size.
_MOST_BYTES = 20 * 10**9
_COPIED = (".json", ".txt", ".model", ".safetensors")
_REPLACED = (".safetensors", ".index.json")
# In older releases weights_only=True can run code: CVE-2025-32434.
_SAFE_TORCH = (2, 6)
_START_SECONDS = 120.0
_BYTES_PER_SECOND = 50_000_000
_ABANDONED_SECONDS = 3600.0
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
_FORBIDDEN = ("socket.", "subprocess.", "pty.", *(f"os.{call}" for call in ("system", "exec", "posix_spawn", "spawn")))
_FORBIDDEN += ("os.fork", "os.startfile")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Tied tensors are stored once; T5 has four names for its embeddings.
_MOST_COPIES = 4
_GLOBAL = re.compile(r"GLOBAL (.+?) (?:was not an allowed global|whose module)", re.DOTALL)
_REMEDY = "Use another model, or write this one with save_pretrained() as safetensors where you trust it."
_CHECK_CACHE = "Check free space and permissions of the cache's folder, or set PYTEST_SST2_CACHE to another folder."


@dataclass(frozen=True)
class Conversion:
    """A copy of a model's folder in which model.safetensors replaces each pickle.

    Attributes:
        folder: The copy, in the cache.
        note: The pickles and the beginning of their SHA-256, for the report.
    """

    folder: Path
    note: str


def pickle_files(place: Path) -> list[Path]:
    """Return the pickle of a folder or all of its shards; none if there is no pickle or a shard is missing.

    Raises:
        Sst2Error: The index of shards has no list of files, or names one outside the folder.
    """
    files, index = [place / _PICKLE], place / _INDEX
    if index.is_file() and not files[0].is_file():
        content = read_json(index)
        weight_map = content.get("weight_map") if isinstance(content, dict) else None
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise Sst2Error(f"{index} has no weight_map from tensors to files.")
        files = [path_inside(place, name, index) for name in sorted(set(weight_map.values()))]
    return files if files and all(path.is_file() for path in files) else []


def convert(name: str, folder: Path, places: Sequence[Path]) -> Conversion:
    """Return a copy of a model's folder with safetensors instead of pickles; write it if the cache does not have it.

    The copy is named after the digest of all files that are read. It contains the JSON, text and tokenizer files and
    the other safetensors of the folder, but no code.

    Args:
        name: The model's, for messages.
        folder: The model's, already checked for links that leave it.
        places: Folders at or below it whose weights are pickles.

    Raises:
        Sst2Error: A pickle is damaged or contains anything but tensors, torch is too old, or the cache is not writable.
    """
    pickles = {place: pickle_files(place) for place in places}
    if missing := [place for place, files in pickles.items() if not files]:
        raise Sst2Error(f"model {name!r}: {missing[0]} has no (or not all) pickled weights.")
    read = [path for files in pickles.values() for path in files]
    target = cache_folder() / CONVERTED
    try:
        copied = _files_to_copy(folder, places)
        digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in (*read, *copied)}
        target /= sha256_digest(json.dumps([_FORMAT, digests]))
        weights = [target / place.relative_to(folder) / _CONVERTED for place in places]
        with one_at_a_time(target):
            if not all(path.is_file() for path in weights):
                _refuse_old_torch(name)
                with _scratch_folder(target) as scratch:
                    _copy_files(copied, folder, scratch)
                    if problem := _ask_child(pickles, folder, scratch):
                        raise Sst2Error(f"model {name!r}: {problem}")
                    _rename(scratch, target, weights)
                make_room(cache_folder(), _MOST_BYTES)
            with contextlib.suppress(OSError):  # a cache that is read only
                os.utime(target)  # marks the entry as used
    except OSError as error:
        reason = error.strerror or error
        raise Sst2Error(f"model {name!r}: its pickled weights cannot be converted: {reason}. {_CHECK_CACHE}") from error
    notes = [f"{path.name} (sha256 {file_digest(path)[:12]}…)" for path in read]
    return Conversion(target, f"converted from {shorten(notes, 1)}")


def _files_to_copy(folder: Path, places: Sequence[Path]) -> list[Path]:
    """Return all files that a model needs, except code and the weights that are converted."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.endswith(_COPIED)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and not (path.parent in places and path.name.endswith(_REPLACED))
        and path.is_file()
    ]


def _refuse_old_torch(name: str) -> None:
    version = Version(metadata.version("torch"))
    if version.release[:2] < _SAFE_TORCH:
        raise Sst2Error(
            f"model {name!r}: torch {version} cannot read pickled weights safely; torch 2.6 or later can. "
            f"Upgrade torch. {_REMEDY}"
        )


@contextlib.contextmanager
def _scratch_folder(target: Path) -> Iterator[Path]:
    """Create a folder next to the target and remove it at the end; also remove those of killed runs."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in target.parent.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - abandoned.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(abandoned)
    scratch = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name[:16]}.", suffix=".part"))
    umask = os.umask(0)
    os.umask(umask)
    scratch.chmod(0o777 & ~umask)  # mkdtemp lets only the owner in
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _rename(scratch: Path, target: Path, weights: Sequence[Path]) -> None:
    """Rename the scratch folder to the target, unless another machine with the same disk was faster."""
    if not all(path.is_file() for path in weights):
        shutil.rmtree(target, ignore_errors=True)  # files are missing, and only an empty folder can be replaced
    try:
        scratch.rename(target)
    except OSError:
        if not all(path.is_file() for path in weights):
            raise


def _copy_files(paths: Sequence[Path], folder: Path, scratch: Path) -> None:
    for path in paths:
        copy = scratch / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _ask_child(pickles: Mapping[Path, Sequence[Path]], folder: Path, scratch: Path) -> str:
    """Convert pickles in a child process; return its error message, empty if it succeeded."""
    size = sum(path.stat().st_size for files in pickles.values() for path in files)
    seconds = _START_SECONDS + size / _BYTES_PER_SECOND
    jobs = {str(place.relative_to(folder)): [str(path.absolute()) for path in pickles[place]] for place in pickles}
    question = json.dumps({"jobs": jobs, "bytes": size, "scratch": str(scratch.resolve())})
    try:
        child = subprocess.run(  # noqa: S603 - it runs main() of this module
            command_of("pytest_sst2.models.pickles"),
            input=question,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **_ENVIRONMENT},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"reading its pickled weights took longer than {duration(seconds)}. {_REMEDY}"
    try:
        return str(json.loads(child.stdout)["problem"])
    except (ValueError, LookupError, TypeError):
        last_words = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        return f"the process that reads its pickled weights ended early ({truncate(last_words, 200)}). {_REMEDY}"


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
            _write(read_tensors([Path(path) for path in files]), scratch / place / _CONVERTED)
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
        raise Sst2Error(f"{path.name} holds {held}. {_REMEDY}")
    for key, value in content.items():
        # The header of safetensors has its own entry __metadata__.
        if not isinstance(key, str) or key == "__metadata__" or not isinstance(value, torch.Tensor):
            kind = type(value).__name__
            raise Sst2Error(f"{path.name} holds {quoted(key)} ({kind}), which is not a named tensor. {_REMEDY}")
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized or value.is_nested:
            raise Sst2Error(f"{path.name} holds {quoted(key)}, which is not a dense tensor. {_REMEDY}")
    stored = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in content.values()}
    size, needed = path.stat().st_size, sum(value.numel() * value.element_size() for value in content.values())
    if sum(stored.values()) > size or needed > _MOST_COPIES * size:
        raise Sst2Error(f"{path.name} claims tensors of {needed:,} bytes, but has only {size:,} bytes. {_REMEDY}")
    return content


def _reason(path: Path, error: Exception) -> str:
    """Return the error message for a pickle that torch cannot read."""
    if name := _GLOBAL.search(str(error)):
        named = quoted(name[1], 80)
        return f"{path.name} is refused: it names {named}, which is not part of a tensor and could run code. {_REMEDY}"
    text = str(error).split("WeightsUnpickler error:")[-1].split("Check the documentation of torch.load")[0]
    reason = truncate(" ".join([type(error).__name__, *text.split()]), 200)
    return f"{path.name} is damaged or is not a pickle of tensors ({reason}). Download it again, or use another model."


def _write(tensors: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path, metadata={"format": "pt"})
    except Exception as error:  # safetensors also raises SafetensorError for errors of the disk
        remedy = _CHECK_CACHE if isinstance(error, OSError) or "os error" in str(error) else _REMEDY
        reason = truncate(" ".join(str(error).split()), 200)
        raise Sst2Error(f"its pickled weights cannot be written as safetensors ({reason}). {remedy}") from error
