"""Let one process at a time download a repository into a shared cache; the others get its result.

huggingface_hub locks each file. With those locks alone every process would send all requests before it waits, and wait
without a timeout. Here a process waits as long as the lock's owner updates the lock file; the owner has a timeout.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.process import Patience, Watch

if TYPE_CHECKING:
    import filelock

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Turn:
    """The right of a process to download a repository.

    Attributes:
        path: The lock file.
        waited: Whether another process held the lock before.
        failure: Why the other process failed, as a clause; empty if it did not.
    """

    path: Path
    waited: bool
    failure: str

    def beat(self) -> None:
        """Update the lock file's time, which shows waiting processes that this one is alive."""
        with contextlib.suppress(OSError):
            os.utime(self.path)


@contextlib.contextmanager
def turn(root: Path, patience: Patience) -> Iterator[Turn]:
    """Acquire the lock of a repository's folder for the duration of the body.

    Args:
        root: The repository's folder in the cache.
        patience: Idle-time budget for waiting on a process that shows no sign of life and downloads nothing.

    Raises:
        HubError: The budget is used up.
    """
    path = root.parent / ".locks" / root.name / "pytest-sst2.lock"
    failure = path.with_suffix(".failed")
    failed_before = _changed(failure)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock, waited = _acquired(path, patience.watch(root))
    except OSError as error:
        raise HubError(f"the cache in {root.parent} cannot be written ({error.strerror or error})") from error
    try:
        reason = _read(failure) if waited and _changed(failure) != failed_before else ""
        turn = Turn(Path(lock.lock_file), waited, reason)
        with _failure_recorded(failure, turn):
            yield turn
    finally:
        lock.release()


def _acquired(path: Path, watch: Watch) -> tuple[filelock.BaseFileLock, bool]:
    """Acquire the lock; return it and whether another process held it before."""
    import filelock

    lock: filelock.BaseFileLock = filelock.FileLock(path, mode=0o664)
    waited, beat = False, 0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_POLL_SECONDS)
        except filelock.Timeout:
            waited = True
            if beat != (beat := _changed(Path(lock.lock_file))):
                watch.succeed()
            if not watch.look():
                raise HubError(
                    f"another process is downloading {watch.folder.name} and makes no progress; end it, or remove "
                    f"{lock.lock_file} if there is no such process"
                ) from None
        except NotImplementedError:  # the file system has no locks: use a lock file instead
            lock = filelock.SoftFileLock(path.with_suffix(".soft"))
    watch.succeed()
    return lock, waited


@contextlib.contextmanager
def _failure_recorded(failure: Path, turn: Turn) -> Iterator[None]:
    """Write the failure of the body to a file for waiting processes, unless another process wrote the same."""
    try:
        yield
    except HubError as error:
        if str(error) != turn.failure:
            with contextlib.suppress(OSError):
                failure.write_text(str(error), encoding="utf-8")
        raise
    with contextlib.suppress(OSError):
        failure.unlink(missing_ok=True)


def _read(failure: Path) -> str:
    try:
        return failure.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a third process succeeded in the meantime
        return ""


def _changed(path: Path) -> int:
    """Return a file's modification time in nanoseconds, or 0 if it does not exist."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
