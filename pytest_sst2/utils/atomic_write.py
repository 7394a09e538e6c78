"""Writing a file so that a reader, a kill or a full disk never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error

_PART = ".part"
# What is left of a file by a writer that was killed is nobody's after this time: writing takes seconds.
_ABANDONED_SECONDS = 3600.0


def write_atomically(path: Path, content: str | bytes, *, overwrite: bool = True) -> None:
    """Write ``content``, text as UTF-8, to ``path``: complete or not at all.

    It goes to a new file beside the target, is flushed to disk and then takes the target's name. What a killed writer
    has left of the same file is removed.

    Args:
        path: The target.
        content: What it is to hold.
        overwrite: Whether a file already there may be replaced; if not, of two writers the first wins.

    Raises:
        Sst2Error: It cannot be written; a file already there is untouched.
    """
    path = path.resolve()
    _check_ordinary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            _set_usual_mode(Path(scratch), path)
            if overwrite:
                Path(scratch).replace(path)
            else:
                _take_name(Path(scratch), path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(scratch).unlink()
            raise
    except (OSError, UnicodeEncodeError) as error:
        raise Sst2Error(
            f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}. What was there is unchanged."
        ) from error
    sweep_abandoned(path.parent, glob.escape(path.name))


def sweep_abandoned(folder: Path, named: str) -> None:
    """Remove what writers that were killed an hour ago or earlier have left of files.

    Args:
        folder: Where they were to write.
        named: A pattern for the names that the files were to have.
    """
    with contextlib.suppress(OSError):  # another process was quicker, or the folder may not be listed
        for part in folder.glob(f".{named}.*{_PART}"):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()


def append_whole(path: Path, text: str) -> None:
    """Add text to the end of a file, all of it or nothing.

    Raises:
        OSError: It cannot be written; what was there is unchanged.
    """
    with path.open("ab") as file:
        before = file.tell()
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), before)
            raise


def temporary_folder() -> Path:
    """Return the folder for temporary files.

    Raises:
        Sst2Error: None of those that the system names can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise Sst2Error(
            "there is no folder that temporary files can be written to: none of those that this system names has room "
            "and may be written. Set TMPDIR to one that has a few MB free."
        ) from error


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Give an empty folder that is removed afterwards.

    Raises:
        Sst2Error: It cannot be made.
    """
    temporary = temporary_folder()
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pytest-sst2-", ignore_cleanup_errors=True))
        except OSError as error:
            raise Sst2Error(
                f"a folder for temporary files cannot be made in {str(temporary)!r}: {error.strerror or error}. Set "
                "TMPDIR to a folder that can be written and has a few MB free."
            ) from error
        yield folder


def _take_name(scratch: Path, path: Path) -> None:
    """Give a finished file the target's name, in one step that fails where there is one of that name."""
    try:
        path.hardlink_to(scratch)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: a moment remains in which another writer could come
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        scratch.replace(path)
    else:
        scratch.unlink()


def check_writable(path: Path, option: str) -> None:
    """Refuse, before any work is done, a result file that could not be written at the end.

    Raises:
        Sst2Error: ``path`` is a folder or a device, or its nearest existing folder is not writable.
    """
    if path.is_dir():
        raise Sst2Error(f"{option} {str(path)!r} is a folder; name a file in it.")
    _check_ordinary(path)
    folder = path.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise Sst2Error(f"{option} {str(path)!r} cannot be written: {str(folder)!r} is not a writable folder.")


def _check_ordinary(path: Path) -> None:
    """Refuse a device or a pipe: a file moved into its place would remove it from the system."""
    if path.exists() and not path.is_file():
        raise Sst2Error(f"cannot write {str(path)!r}: it is no ordinary file. What was there is unchanged.")


def _set_usual_mode(scratch: Path, target: Path) -> None:
    """Give a file made by mkstemp (readable by its owner alone) the target's mode, or what open() would give."""
    if target.exists():
        scratch.chmod(target.stat().st_mode & 0o777)
        return
    umask = os.umask(0)
    os.umask(umask)
    scratch.chmod(0o666 & ~umask)
