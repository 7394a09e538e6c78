"""A cache of embeddings on disk, shared by runs.

The key of an entry (its address) is a digest of the encoder, the versions of the libraries, and the token ids. The
encoder's part contains every weight and the embeddings of 32 probe sentences in this very process. So a change that no
version shows, such as a patched file or another thread count, is a cache miss if it moves a bit of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from pytest_sst2.utils.atomic_write import sweep_abandoned, write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.safe_read import read_bytes

# Part of every address, so a new format or a new way of embedding starts with an empty cache.
_FORMAT = b"pytest-sst2 embeddings 2\n"
NOT_CACHED = "embeddings are not cached for the next run"
_DIGEST_BYTES = hashlib.sha256().digest_size
_SUFFIX = ".embeddings"
_ENTRY = re.compile(r"[0-9a-f]{64}" + re.escape(_SUFFIX))
_MAX_DIMENSIONS = 2**16
# Rows and dimensions, stored before the numbers.
_SHAPE = struct.Struct("<QQ")
_LIBRARIES = ("torch", "transformers", "sentence-transformers", "tokenizers", "numpy")


def address_of(identity: str, ids: Sequence[Sequence[int]], extra: str = "") -> str:
    """Return the address of the embeddings of token ids, in the order of the rows.

    ``identity`` is a digest of the encoder's weights and of its embeddings of 32 probe sentences; ``extra`` is
    anything else that decides the embeddings.
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


@dataclass
class EmbeddingCache:
    """A folder of float32 arrays with a maximum size. The least recently used entries are removed first.

    Several processes may share a folder. Entries are written atomically and verified when they are read; a damaged
    entry is removed. Disk errors are not raised: the cache is then empty, and ``problem`` contains the reason.
    The folder is created with the first entry; without one, nothing is cached.
    """

    folder: Path | None
    most_bytes: int
    problem: str = ""

    def get(self, address: str, rows: int) -> np.ndarray | None:
        """Return the array at an address, shape (rows, d); None if it is missing or damaged."""
        if self.folder is None:
            return None
        path = self.folder / f"{address}{_SUFFIX}"
        try:
            path.stat()
            content = read_bytes(path, _DIGEST_BYTES + _SHAPE.size + 4 * rows * _MAX_DIMENSIONS)
        except OSError:
            return None
        except Sst2Error:  # too large, or not a regular file
            content = b""
        array = _unpacked(address, content)
        if array is None or len(array) != rows:
            self.problem = f"the cache entry {path} was damaged and has been computed again"
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # marks the entry as used
        return array

    def put(self, address: str, array: np.ndarray) -> None:
        """Store an array, unless it alone exceeds the maximum size."""
        content = _packed(address, array)
        if self.folder is None or len(content) > self.most_bytes:
            return
        path = self.folder / f"{address}{_SUFFIX}"
        try:
            write_atomically(path, content)
        except Sst2Error as error:
            # Without the entry's name, so that all cells of a run have the same warning.
            reason = getattr(error.__cause__, "strerror", None) or error
            self.problem = f"{NOT_CACHED}: {str(self.folder)!r} cannot be written ({reason})"
            return
        self._make_room(path)

    def size_bytes(self) -> int:
        """Return the size of all entries in bytes."""
        return sum(size for _, size, _ in self._entries())

    def clear(self) -> int:
        """Remove every entry and return their number."""
        entries = list(self._entries())
        for _, _, path in entries:
            with contextlib.suppress(OSError):
                path.unlink()
        return len(entries)

    def _make_room(self, newest: Path) -> None:
        """Remove the least recently used entries until the rest fits, then the scratch files of killed writers."""
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.most_bytes:
                break
            if path != newest:
                total -= size
                with contextlib.suppress(OSError):  # another process removed it first, or has it open
                    path.unlink()
        sweep_abandoned(newest.parent, f"*{_SUFFIX}")

    def _entries(self) -> Iterator[tuple[int, int, Path]]:
        """Yield last use, size and path of every entry."""
        for path in self.folder.glob(f"*{_SUFFIX}") if self.folder else ():
            with contextlib.suppress(OSError):
                status = path.stat()
                if _ENTRY.fullmatch(path.name) and stat.S_ISREG(status.st_mode):
                    yield status.st_mtime_ns, status.st_size, path


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
    # A copy, because an array in bytes is read-only.
    return np.frombuffer(payload, dtype="<f4", offset=_SHAPE.size).reshape(rows, dimensions).astype(np.float32)


def _digest(address: str, payload: bytes) -> bytes:
    # The address is included, so an entry under the name of another one is damaged.
    return hashlib.sha256(_FORMAT + address.encode() + payload).digest()
