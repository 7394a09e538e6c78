"""SHA-256 digests of texts and files. A file is hashed once per process until it changes."""

from __future__ import annotations

import functools
import hashlib
import time
from pathlib import Path

from pytest_sst2.utils.paths import real_path

# File systems record times in ticks. Within one, a file can change twice with the same time.
_SETTLED_NS = 2_000_000_000


def sha256_digest(content: bytes | str) -> str:
    """Return the SHA-256 of bytes, or of a text as UTF-8, in 64 hexadecimal digits."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def short_digest(content: bytes | str, digits: int = 16) -> str:
    """Return the first hexadecimal digits of the SHA-256: enough to name a file or to notice a change."""
    return sha256_digest(content)[:digits]


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    path = real_path(path)
    state = path.stat()
    stamp = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
    return (_digest_of_state if settled else _digest_of_state.__wrapped__)(path, stamp)


@functools.lru_cache(maxsize=256)
def _digest_of_state(path: Path, _stamp: tuple[int, ...]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
