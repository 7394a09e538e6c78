"""Embeddings kept on disk from run to run, under an address made of all that decides them.

An address is a digest of the encoder (every weight, and what it makes of the fixed sentences in this very process), of
the versions of the libraries, and of the token ids to be embedded. So a change that the libraries do not tell of, a
patched file or another thread count say, leads to another address, where there is nothing yet.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

from pytest_sst2.utils.atomic_write import sweep_abandoned, write_atomically
from pytest_sst2.utils.errors import Sst2Error

# Part of every address: a new way of embedding or of storing begins with an empty cache.
_FORMAT = b"pytest-sst2 embeddings 2\n"
NOT_KEPT = "embeddings are not kept for the next run"
_DIGEST_BYTES = hashlib.sha256().digest_size
_SUFFIX = ".embeddings"
# Rows and dimensions, before the numbers themselves.
_SHAPE = struct.Struct("<QQ")
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy")


def cache_folder() -> Path:
    """Return where embeddings are kept: ``$PYTEST_SST2_CACHE``, else the user's cache folder.

    Raises:
        Sst2Error: That would be in a home folder, and nobody says where that is.
    """
    from platformdirs import user_cache_path

    given = os.environ.get("PYTEST_SST2_CACHE")
    try:
        # Without a home platformdirs would have a folder of the name ~ made here.
        return (Path(given) if given else user_cache_path("pytest-sst2", appauthor=False)).expanduser()
    except RuntimeError as error:
        raise Sst2Error(
            "no folder for the cache is known, since this user has no home folder. Set PYTEST_SST2_CACHE to a folder."
        ) from error


def address_of(identity: str, ids: Sequence[Sequence[int]], extra: str = "") -> str:
    """Return the address of the embeddings of token ids.

    Args:
        identity: Digest of the encoder's weights and of its answers.
        ids: Token ids of each sentence, in the order of the rows.
        extra: Whatever else decides the embeddings.
    """
    digest = hashlib.sha256(_FORMAT)
    for part in (identity, extra, *(f"{name} {_version(name)}" for name in _LIBRARIES)):
        digest.update(f"{len(part)} {part}\n".encode())
    for sentence in ids:
        digest.update(np.array([len(sentence), *sentence], dtype="<i8").tobytes())
    return digest.hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


class EmbeddingCache:
    """Arrays of float32 by their address, in a folder of bounded size; of the rest, the least recently used goes.

    Several processes may share a folder. An entry appears whole or not at all, is verified whenever it is read, and
    one that fails is removed. No error of the disk is raised: a cache that cannot be used is an empty one, and
    ``problem`` says why.

    Args:
        folder: It is made when the first entry is written; None where there is no place for one.
        most_bytes: All entries together stay below this.
        problem: Why there is none.
    """

    def __init__(self, folder: Path | None, most_bytes: int, problem: str = "") -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self.problem = problem

    def get(self, address: str, rows: int) -> np.ndarray | None:
        """Return the array at an address, shape (rows, d); None where there is none, or none that can be trusted."""
        if self.folder is None:
            return None
        path = self.folder / f"{address}{_SUFFIX}"
        try:
            content = path.read_bytes() if path.is_file() else None
        except OSError:
            return None
        if content is None:
            return None
        array = _unpacked(address, content)
        if array is None or len(array) != rows:
            self.problem = f"the cache entry {path} was damaged and has been made anew"
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the mark of its last use
        return array

    def put(self, address: str, array: np.ndarray) -> None:
        """Keep an array; one that alone is larger than the cache may be is not kept."""
        content = _packed(address, array)
        if self.folder is None or len(content) > self.most_bytes:
            return
        path = self.folder / f"{address}{_SUFFIX}"
        try:
            write_atomically(path, content)
        except Sst2Error as error:
            # Not the name of the entry: a run of many cells says this once.
            reason = getattr(error.__cause__, "strerror", None) or error
            self.problem = f"{NOT_KEPT}: {str(self.folder)!r} cannot be written ({reason})"
            return
        self._make_room(path, self.folder)

    def size_bytes(self) -> int:
        """Return the size of all entries."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> int:
        """Remove every entry and return how many there were."""
        entries = list(self._entries())
        for _, _, path in entries:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(entries)

    def _make_room(self, newest: Path, folder: Path) -> None:
        """Remove what a killed writer left, then entries, the least recently used first, until the rest fits."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.most_bytes:
                break
            if path != newest:
                total -= size
                with contextlib.suppress(OSError):  # another process was quicker, or has it open
                    path.unlink()
        sweep_abandoned(folder, f"*{_SUFFIX}")

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Give last use, size and path of every entry."""
        for path in self.folder.glob(f"*{_SUFFIX}") if self.folder else ():
            with contextlib.suppress(OSError):
                found = path.stat()
                yield found.st_mtime_ns, found.st_size, path


def _packed(address: str, array: np.ndarray) -> bytes:
    payload = _SHAPE.pack(*array.shape) + np.ascontiguousarray(array, dtype="<f4").tobytes()
    return _digest(address, payload) + payload


def _unpacked(address: str, content: bytes) -> np.ndarray | None:
    digest, payload = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if digest != _digest(address, payload) or len(payload) < _SHAPE.size:
        return None
    rows, dimensions = _SHAPE.unpack_from(payload)
    if len(payload) != _SHAPE.size + 4 * rows * dimensions:
        return None
    # A copy, since what lies in bytes cannot be written to.
    return np.frombuffer(payload, dtype="<f4", offset=_SHAPE.size).reshape(rows, dimensions).astype(np.float32)


def _digest(address: str, payload: bytes) -> bytes:
    # With the address in it, an entry under another one's name is as bad as a damaged one.
    return hashlib.sha256(_FORMAT + address.encode() + payload).digest()
