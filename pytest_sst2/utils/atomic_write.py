"""Write files atomically: a reader, a kill or a full disk never sees or leaves a part of one."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import truncate
from pytest_sst2.utils.paths import real_path

_PART = ".part"
_LONGEST_NAME = 255  # bytes; the limit of most file systems
# A scratch file of this age belongs to a writer that was killed: writing takes seconds.
_ABANDONED_SECONDS = 3600.0


def write_atomically(path: Path, content: str | bytes, *, overwrite: bool = True) -> None:
    """Write bytes, or a text as UTF-8, to a file: all of it or nothing.

    The content is written to a scratch file next to the target and flushed to disk. Then the scratch file takes the
    target's name. Scratch files of killed writers are removed. Without ``overwrite`` the first of two writers wins.

    Raises:
        Sst2Error: The file cannot be written; an existing file is unchanged.
    """
    path = real_path(path)
    _check_regular(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{_short(path.name)}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            _set_mode(Path(scratch), path)
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
    sweep_abandoned(path.parent, glob.escape(_short(path.name)))


def _short(name: str) -> str:
    """Return a file's name, truncated so that the name of its scratch file is short enough for any disk."""
    return name if len(os.fsencode(name)) <= _LONGEST_NAME - 30 else name[:50]


def sweep_abandoned(folder: Path, pattern: str) -> None:
    """Remove scratch files that killed writers left an hour ago or earlier; ``pattern`` matches the target files."""
    with contextlib.suppress(OSError):  # another process removed it first, or the folder cannot be listed
        for part in folder.glob(f".{pattern}.*{_PART}"):
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()


def append_whole(path: Path, text: str) -> None:
    """Append text to a file: all of it or nothing. Raise ``OSError`` if it cannot be written."""
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
    """Return the folder for temporary files."""
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise Sst2Error(
            "temporary files cannot be written: this system has no temporary folder that is writable and has room. "
            "Set TMPDIR to a writable folder with a few MB free."
        ) from error


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """Create an empty temporary folder; remove it at the end."""
    temporary = temporary_folder()
    with contextlib.ExitStack() as stack:
        try:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pytest-sst2-", ignore_cleanup_errors=True))
        except OSError as error:
            raise Sst2Error(
                f"a temporary folder cannot be created in {str(temporary)!r}: {error.strerror or error}. Set TMPDIR to "
                "a writable folder with a few MB free."
            ) from error
        yield folder


def _take_name(scratch: Path, path: Path) -> None:
    """Rename the scratch file to the target in one step that fails if the target exists."""
    try:
        path.hardlink_to(scratch)
    except FileExistsError:
        raise
    except OSError:  # no hard links on this file system: another writer could still create the target in between
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        scratch.replace(path)
    else:
        scratch.unlink()


def check_writable(path: Path, option: str) -> None:
    """Raise before any work if an output file could not be written at the end."""
    try:
        _check_name(path)
        if path.is_dir():
            raise Sst2Error(f"{option} {str(path)!r} is a folder; name a file in it.")
        _check_regular(path)
        reason = _obstacle(real_path(path))
    except OSError as error:
        reason = f"{error.filename!r}: {error.strerror or error}"
    if reason:
        raise Sst2Error(f"{option} {str(path)!r} cannot be written: {reason}.")


def _check_name(path: Path) -> None:
    """Raise ``OSError`` if a part of the path is too long, or a link to itself or, as a folder, to nothing."""
    for name in path.parts:
        if len(os.fsencode(name)) > _LONGEST_NAME:
            raise OSError(errno.ENAMETOOLONG, f"the name has more than {_LONGEST_NAME} bytes", truncate(name, 40))
    for part in (path, *path.parents):
        if part.is_symlink():
            try:
                part.stat()
            except FileNotFoundError:
                if part != path:
                    raise OSError(errno.ENOENT, "the folder is a link to nothing", str(part)) from None


def _obstacle(path: Path) -> str:
    """Return why a file cannot be created or replaced, as a clause; empty if it can."""
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return f"{str(folder)!r} is not a writable folder"
    return f"{str(path)!r} belongs to another user" if _is_of_another(path) else ""


def _is_of_another(path: Path) -> bool:
    """Return whether a folder, such as /tmp, lets only the owner of a file replace it, and that is another user."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0 or not path.exists():
        return False
    folder = path.parent.stat()
    return bool(folder.st_mode & stat.S_ISVTX) and os.geteuid() not in (folder.st_uid, path.stat().st_uid)


def _check_regular(path: Path) -> None:
    """Raise for a device or a pipe: a file renamed to it would replace it."""
    if path.exists() and not path.is_file():
        raise Sst2Error(f"cannot write {str(path)!r}: it is not a regular file. What was there is unchanged.")


def _set_mode(scratch: Path, target: Path) -> None:
    """Set the mode of the target, or of a new file: mkstemp lets only the owner read the scratch file."""
    if target.exists():
        scratch.chmod(target.stat().st_mode & 0o777)
        return
    umask = os.umask(0)
    os.umask(umask)
    scratch.chmod(0o666 & ~umask)
