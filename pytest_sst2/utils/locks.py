"""Locks between processes.

``one_at_a_time`` and ``take`` lock a hidden file next to what they guard, so that jobs with temporary folders of their
own exclude each other. A process that dies releases its locks. A disk that has no locks does not end a run: the lock is
then in the temporary folder, and if that has none either, nothing is locked.
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
from pytest_sst2.utils.paths import real_path

if TYPE_CHECKING:
    from filelock import AcquireReturnProxy

# The name of the lock that a cell of --sst2-exclusive holds.
EXCLUSIVE = "the machine"
# Bytes of a file name that leave room for the dot and the suffix of its lock.
_LONGEST_NAME = 245


@contextlib.contextmanager
def one_at_a_time(guarded: Path | str) -> Iterator[None]:
    """Wait until no other process is in the body with the same path or name, then run the body.

    Raises:
        RuntimeError: This thread holds the lock already.
    """
    release = _locked(guarded, timeout=-1)
    try:
        yield
    finally:
        release()


def take(path: Path, option: str) -> Callable[[], None]:
    """Lock a file that only this run may write; return the function that releases it before the process ends.

    Raises:
        Sst2Error: Another run writes it.
    """
    from filelock import Timeout

    try:
        return _locked(path, timeout=0)
    except Timeout:
        raise Sst2Error(
            f"{option} {str(path)!r} is being written by another run, and each would overwrite the other's results. "
            "Wait for that run, or name another file."
        ) from None


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


def _locked(guarded: Path | str, timeout: float) -> Callable[[], None]:
    """Return the function that releases the lock; wait ``timeout`` seconds for it, or without end if negative.

    Raises:
        filelock.Timeout: Another process holds it.
    """
    from filelock import FileLock, Timeout

    for place in _places(guarded):
        try:
            path = place()
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path).acquire(timeout=timeout)
        except Timeout:
            raise
        except (OSError, NotImplementedError, Sst2Error):  # NotImplementedError: the file system has no locks
            continue
        return lambda held=held, path=path: _release(held, path)  # type: ignore[misc]
    return lambda: None


def _places(guarded: Path | str) -> Iterator[Callable[[], Path]]:
    """Yield where the lock file of a path or a name may be, the best place first."""
    if isinstance(guarded, Path):
        target = real_path(guarded)
        name = target.name if len(os.fsencode(target.name)) < _LONGEST_NAME else short_digest(os.fsencode(target.name))
        yield lambda: target.parent / f".{name}.lock"
    identity = os.fsencode(real_path(guarded)) if isinstance(guarded, Path) else guarded.encode()
    user = os.getuid() if hasattr(os, "getuid") else "all"
    yield lambda: temporary_folder() / f"pytest-sst2-{user}-{short_digest(identity)}.lock"


def _release(held: AcquireReturnProxy[Any], path: Path) -> None:
    # While the lock is held: a process that waits opens the file anew, and filelock checks that it still has a name.
    if os.name == "posix":
        with contextlib.suppress(OSError):
            path.unlink()
    held.lock.release(force=True)
