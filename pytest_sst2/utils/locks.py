"""Locks between processes of one machine.

``one_at_a_time`` and ``take`` lock in the temporary folder, in a file named after what they guard. A process that dies
releases its locks, and no lock file is left next to the user's files. They don't exclude other machines that write to
the same disk; ``lock_file`` does if the file is on that disk.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.atomic_write import temporary_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.hashing import short_digest

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

# The name of the lock that a cell of --sst2-exclusive holds.
EXCLUSIVE = "the machine"


@contextlib.contextmanager
def one_at_a_time(guarded: Path | str) -> Iterator[None]:
    """Wait until no other process of this machine is in the body with the same argument, then run the body.

    Raises:
        Sst2Error: The temporary folder cannot be written or does not support locks.
        RuntimeError: This thread holds the lock already.
    """
    with _acquired(guarded):
        yield


def take(path: Path, option: str) -> Callable[[], None]:
    """Lock a file that only this run may write; return the function that releases it before the process ends.

    Raises:
        Sst2Error: Another run writes it, or as ``one_at_a_time``.
    """
    from filelock import Timeout

    try:
        held = _acquired(path, timeout=0)
    except Timeout:
        raise Sst2Error(
            f"{option} {str(path)!r} is being written by another run, and each would overwrite the other's results. "
            "Wait for that run, or name another file."
        ) from None
    return lambda: held.lock.release(force=True)


@contextlib.contextmanager
def lock_file(path: Path, busy: str = "") -> Iterator[None]:
    """Hold the lock of a lock file, in a folder that exists, in the body.

    If another process holds the lock, raise an error of the text ``busy``; without it, wait until the lock is released.
    """
    from filelock import FileLock, Timeout

    try:
        held = FileLock(path).acquire(timeout=0 if busy else -1)
    except Timeout:
        raise Sst2Error(busy) from None
    with held:
        yield


def _acquired(guarded: Path | str, timeout: float = -1) -> AcquireReturnProxy[Any]:
    """Return the held lock; wait ``timeout`` seconds, or without end if negative, then raise filelock's Timeout."""
    from filelock import FileLock, Timeout

    name = os.fsencode(guarded.resolve()) if isinstance(guarded, Path) else guarded.encode()
    user = os.getuid() if hasattr(os, "getuid") else "all"
    path = temporary_folder() / f"pytest-sst2-{user}-{short_digest(name)}.lock"
    try:
        return FileLock(path).acquire(timeout=timeout)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:  # NotImplementedError: the file system does not support locks
        raise Sst2Error(
            f"the lock file {str(path)!r}, which protects {str(guarded)!r}, cannot be locked: "
            f"{getattr(error, 'strerror', None) or error}. If it is not a regular file, remove it; otherwise set "
            "TMPDIR to a folder of your own on a disk that supports locks."
        ) from error
