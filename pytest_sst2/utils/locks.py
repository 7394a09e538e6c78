"""Locks: one writer at a time, where two would undo what the other did.

They are the system's and lie in the folder for temporary files, named after what they guard: a process that dies lets
go of its locks, and nothing is left beside the user's files. Other machines that write to the same disk are not kept
out.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.utils.atomic_write import temporary_folder
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from filelock import BaseFileLock

# What a cell of --sst2-exclusive has for itself.
EXCLUSIVE = "the machine"


@contextlib.contextmanager
def one_at_a_time(guarded: Path | str) -> Iterator[None]:
    """Wait until nobody else on this machine is in the body for the same, and keep others waiting.

    Args:
        guarded: A file or a folder, or the name of something else.

    Raises:
        Sst2Error: There is no folder for temporary files, or no lock can be had there.
        RuntimeError: This thread holds it already.
    """
    lock = _acquired(guarded)
    try:
        yield
    finally:
        lock.release()


def take(path: Path, option: str) -> Callable[[], None]:
    """Be the only run that writes a file, to the end of the process or until what is returned is called.

    Args:
        path: The file.
        option: What asked for it, as it is typed.

    Raises:
        Sst2Error: Another run writes it, or as ``one_at_a_time``.
    """
    from filelock import Timeout

    try:
        lock = _acquired(path, timeout=0)
    except Timeout:
        raise Sst2Error(
            f"{option} {str(path)!r} is being written by another run, and each would write over what the other has "
            "measured. Wait for that run, or name another file."
        ) from None
    return lambda: lock.release(force=True)


def _acquired(guarded: Path | str, timeout: float = -1) -> BaseFileLock:
    """Return the lock, held; waits ``timeout`` seconds for it, or without end, and raises filelock's Timeout then."""
    from filelock import FileLock, Timeout

    name = os.fsencode(guarded.resolve()) if isinstance(guarded, Path) else guarded.encode()
    user = os.getuid() if hasattr(os, "getuid") else "all"
    path = temporary_folder() / f"pytest-sst2-{user}-{hashlib.sha256(name).hexdigest()[:16]}.lock"
    lock = FileLock(path)
    try:
        lock.acquire(timeout=timeout)
    except Timeout:
        raise
    except (OSError, NotImplementedError) as error:  # the latter on a file system that knows no locks
        raise Sst2Error(
            f"{str(path)!r}, which keeps other processes away from {str(guarded)!r}, cannot be locked: "
            f"{getattr(error, 'strerror', None) or error}. Remove it if it is no ordinary file, or set TMPDIR to a "
            "folder of your own, on a disk that knows locks."
        ) from error
    return lock
