"""Digests of files, worked out once a process and again when a file has been touched since."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

# A file system's clock has ticks. Within one a file can change twice and look as if it had changed once.
_SETTLED_NS = 2_000_000_000


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content.

    Raises:
        OSError: It cannot be read.
    """
    path = path.resolve()
    state = path.stat()
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
    return (_digest_of_state if settled else _digest_of_state.__wrapped__)(path, stamp)


@functools.lru_cache(maxsize=256)
def _digest_of_state(path: Path, _stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def git_digest(path: Path) -> str:
    """Return the id that git gives a file: the SHA-1 of ``blob``, its size and its content.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
