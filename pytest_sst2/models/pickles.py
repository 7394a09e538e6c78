"""Convert pickled weights to safetensors without running code of the pickle.

A child process reads the pickle (``pickle_reader``). The result is stored in the cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.version import Version

from pytest_sst2.models.layout import pickle_files
from pytest_sst2.models.pickle_reader import CHECK_CACHE, CONVERTED_NAME, REMEDY
from pytest_sst2.utils.cache_dir import CONVERTED, cache_folder, make_room
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import duration, shorten, truncate
from pytest_sst2.utils.hashing import file_digest, sha256_digest
from pytest_sst2.utils.locks import one_at_a_time
from pytest_sst2.utils.processes import command_of

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


@dataclass(frozen=True)
class Conversion:
    """A copy of a model's folder in which model.safetensors replaces each pickle.

    Attributes:
        folder: The copy, in the cache.
        note: The pickles and the beginning of their SHA-256, for the report.
    """

    folder: Path
    note: str


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
    try:
        copied = _files_to_copy(folder, places)
        digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in (*read, *copied)}
        target = cache_folder() / CONVERTED / sha256_digest(json.dumps([_FORMAT, digests]))
        with one_at_a_time(target):
            _write_copy(name, folder, pickles, copied, target)
            with contextlib.suppress(OSError):  # a cache that is read only
                os.utime(target)  # marks the entry as used
    except OSError as error:
        reason = error.strerror or error
        raise Sst2Error(f"model {name!r}: its pickled weights cannot be converted: {reason}. {CHECK_CACHE}") from error
    notes = [f"{path.name} (sha256 {file_digest(path)[:12]}…)" for path in read]
    return Conversion(target, f"converted from {shorten(notes, 1)}")


def _write_copy(
    name: str, folder: Path, pickles: Mapping[Path, Sequence[Path]], copied: Sequence[Path], target: Path
) -> None:
    """Write the copy of a model's folder to the target, unless it is complete there."""
    weights = [target / place.relative_to(folder) / CONVERTED_NAME for place in pickles]
    if all(path.is_file() for path in weights):
        return
    _refuse_old_torch(name)
    with _scratch_folder(target) as scratch:
        _copy_files(copied, folder, scratch)
        if problem := _ask_child(pickles, folder, scratch):
            raise Sst2Error(f"model {name!r}: {problem}")
        _rename(scratch, target, weights)
    make_room(cache_folder(), _MOST_BYTES)


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
            f"Upgrade torch. {REMEDY}"
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
        child = subprocess.run(  # noqa: S603 - it runs main() of that module
            command_of("pytest_sst2.models.pickle_reader"),
            input=question,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, **_ENVIRONMENT},
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return f"reading its pickled weights took longer than {duration(seconds)}. {REMEDY}"
    try:
        return str(json.loads(child.stdout)["problem"])
    except (ValueError, LookupError, TypeError):
        last_words = (child.stderr.strip().splitlines() or [f"status {child.returncode}"])[-1]
        return f"the process that reads its pickled weights ended early ({truncate(last_words, 200)}). {REMEDY}"
