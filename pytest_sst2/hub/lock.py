"""One download of a repository at a time, among all processes that use a cache; the others learn what came of it.

The client has locks of its own, one a file, with which every process would ask for everything before it waits, and wait
without end. Here a process waits as long as the one before it shows that it is alive; that one's patience has an end.
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

_LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Turn:
    """A process's turn to download a repository.

    Attributes:
        path: The lock's file.
        waited: Whether another process had it before.
        failure: Why that one failed, in a clause; empty where it did not.
    """

    path: Path
    waited: bool
    failure: str

    def beat(self) -> None:
        """Show those who wait that this is going on."""
        with contextlib.suppress(OSError):
            os.utime(self.path)


@contextlib.contextmanager
def turn(root: Path, patience: Patience) -> Iterator[Turn]:
    """Wait for the turn to download into a repository's folder, and have it for the length of the body.

    Args:
        root: The repository's folder in the cache.
        patience: What may be waited for another process that shows no life, and of whose download nothing comes.

    Raises:
        HubError: The other process shows no life.
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
        told = _read(failure) if waited and _changed(failure) != failed_before else ""
        mine = Turn(Path(lock.lock_file), waited, told)
        with _told_to_others(failure, mine):
            yield mine
    finally:
        lock.release()


def _acquired(path: Path, watch: Watch) -> tuple[filelock.BaseFileLock, bool]:
    """Return the lock, held, and whether another process held it before."""
    import filelock

    lock: filelock.BaseFileLock = filelock.FileLock(path, mode=0o664)
    waited, beat = False, 0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except filelock.Timeout:
            waited = True
            if beat != (beat := _changed(Path(lock.lock_file))):
                watch.succeed()
            if not watch.look():
                raise HubError(
                    f"another process is downloading {watch.folder.name}, and nothing more comes of that; end it, or "
                    f"remove {lock.lock_file} where there is none"
                ) from None
        except NotImplementedError:  # a file system that knows no locks: there a file is one
            lock = filelock.SoftFileLock(path.with_suffix(".soft"))
    watch.succeed()
    return lock, waited


@contextlib.contextmanager
def _told_to_others(failure: Path, mine: Turn) -> Iterator[None]:
    """Write down why the body fails, if it does; not what another has failed of: that is written down."""
    try:
        yield
    except HubError as error:
        if str(error) != mine.failure:
            with contextlib.suppress(OSError):
                failure.write_text(str(error), encoding="utf-8")
        raise
    with contextlib.suppress(OSError):
        failure.unlink(missing_ok=True)


def _read(failure: Path) -> str:
    try:
        return failure.read_text(encoding="utf-8", errors="replace")
    except OSError:  # a third process has succeeded meanwhile
        return ""


def _changed(path: Path) -> int:
    """Return when a file was changed, 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
