"""Child process that runs huggingface_hub, so that a download can be ended at any time.

It reads one ``Request`` as JSON from standard input and exits when that is closed. It writes JSON objects to
standard output, one per line: ``ready``; ``wait``, seconds that the Hub asked for; ``note``, a warning of the client;
``bytes``, the size of the download; and at the end ``folder`` or ``problem``.
"""

from __future__ import annotations

import contextlib
import glob
import json
import logging
import os
import pkgutil
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TypeVar

from pytest_sst2.hub.cache import RepoType, endpoint, locks_folder, repository_folder
from pytest_sst2.hub.errors import HubError, explained, http_response, http_status, is_closed_connection
from pytest_sst2.hub.verification import verify
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error

# A longer pause is an answer, not a pause.
LONGEST_PAUSE_SECONDS = 60.0
_RETRIED = (429, 500, 502, 503, 504)
_PAUSES_SECONDS = (1.0, 3.0)
_SPARE_BYTES = 1 << 26
_PAUSE = re.compile(r"Waiting ([0-9.]+)s before retry")

T = TypeVar("T")
Fetch = Callable[[Sequence[str]], Path]
"""Downloads files of the repository, and returns the folder that has them."""


@dataclass(frozen=True)
class Request:
    """A repository to download.

    Attributes:
        repo_id: ``org/name``.
        repo_type: ``model`` or ``dataset``.
        revision: Branch, tag or commit; None for main.
        select: ``module:function`` that returns the names of the files to download. It takes the sizes of all files
            by name, and a ``Fetch`` for files that decide about others. It raises an Sst2Error to refuse all of them.
    """

    repo_id: str
    repo_type: RepoType
    revision: str | None
    select: str


def main() -> None:
    """Answer the request on standard input."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else that is printed is an answer

    def say(kind: str, value: object) -> None:
        os.write(answers, f"\n{json.dumps({kind: value})}\n".encode())  # after a line that a library left unfinished

    def leave_with_parent() -> None:
        sys.stdin.read()
        _leave()

    request = Request(**json.loads(sys.stdin.readline()))
    threading.Thread(target=leave_with_parent, daemon=True).start()
    logger = logging.getLogger("huggingface_hub")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Warnings(say)]
    logger.propagate = False
    _report_progress(request)
    say("ready", True)
    try:
        say("folder", str(download(request, say)))
    except Sst2Error as error:
        say("problem", str(error))
    _leave()


def _leave() -> NoReturn:
    """Exit at once, because threads of the client may still wait, and remove the files that they have not finished."""
    import psutil

    for file in psutil.Process().open_files():
        if file.path.endswith(".incomplete"):
            Path(file.path).unlink(missing_ok=True)
    os._exit(0)


def _report_progress(request: Request) -> None:
    """Touch the folder of the repository's locks for each step of the client's progress bars.

    The parent and other processes that wait see the time of the last step. Each step is small: of a file that comes
    from a slow server, the client would write nothing before it has 10 MB.
    """
    from huggingface_hub import constants, snapshot_download, utils

    _ = snapshot_download  # imported lazily by name
    locks = locks_folder(repository_folder(request.repo_id, request.repo_type))

    def update(_: object, n: float | None = 1) -> None:
        with contextlib.suppress(OSError):
            os.utime(locks)

    utils.tqdm.update = update
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 20


def download(request: Request, say: Callable[[str, object], None]) -> Path:
    """Download the selected files of a repository at one commit, and return the snapshot's folder.

    Args:
        request: The repository.
        say: Receives ``bytes`` and ``wait``.

    Raises:
        Sst2Error: The Hub refuses or fails, the disk is too small, or ``select`` refuses the repository.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    repo_id, where = request.repo_id, {"repo_type": request.repo_type}
    started = time.time() - 1

    def info() -> Any:
        options = {**where, "revision": request.revision, "timeout": constants.HF_HUB_ETAG_TIMEOUT}
        return HfApi().repo_info(repo_id, files_metadata=True, **options)

    def snapshot(patterns: Sequence[str]) -> Path:
        return Path(snapshot_download(repo_id, **where, revision=found.sha, allow_patterns=patterns))

    def size_of(names: Iterable[str]) -> int:
        return sum(entries[name].size or 0 for name in names)

    def fetch(names: Sequence[str]) -> Path:
        say("bytes", size_of(names))
        patterns = [glob.escape(name) for name in names]
        with _explained(request):
            folder = _repeated(lambda: snapshot(patterns), say)
        verify(repo_id, folder, {name: entries[name] for name in names}, started)
        return folder

    with _explained(request):
        found = _repeated(info, say, _RETRIED)
        if not isinstance(found.sha, str) or not found.sha.isalnum():
            raise TypeError(found.sha)
    entries = {entry.rfilename: entry for entry in found.siblings or []}
    if any(".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() for name in entries):
        raise HubError(f"{constants.ENDPOINT} lists a file of {repo_id} outside its folder")
    names = pkgutil.resolve_name(request.select)({name: entry.size for name, entry in entries.items()}, fetch)
    if not names:
        raise HubError(f"{repo_id} at {constants.ENDPOINT} has none of the files that are needed")
    _check_disk(repo_id, size_of(names), Path(constants.HF_HUB_CACHE))
    folder = fetch(names)
    if request.revision != found.sha:  # the client keeps no reference of a commit
        write_atomically(folder.parents[1] / "refs" / (request.revision or "main"), found.sha)
    return folder


@contextlib.contextmanager
def _explained(request: Request) -> Iterator[None]:
    """Raise an error of the body as a clause."""
    try:
        yield
    except Exception as error:
        raise explained(error, request.repo_id, request.revision, endpoint()) from error


def _repeated(call: Callable[[], T], say: Callable[[str, object], None], statuses: Collection[int] = ()) -> T:
    """Return the result of ``call``, repeated twice where another try may help.

    The client itself does not repeat a request over a kept connection that the server has closed, nor a failed listing.

    Args:
        call: A request of the client.
        say: Receives ``wait``.
        statuses: The answers that are repeated after a pause.
    """
    for pause in _PAUSES_SECONDS:
        try:
            return call()
        except Exception as error:
            if is_closed_connection(error):
                continue
            if http_status(error) not in statuses:
                raise
            told = http_response(error).headers.get("Retry-After", "")
            seconds = float(told) if told.isdecimal() else pause
            say("wait", seconds)  # a pause that is too long ends the process
            time.sleep(seconds)
    return call()


def _check_disk(repo_id: str, size: int, cache: Path) -> None:
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if size + _SPARE_BYTES > free:
        raise HubError(
            f"{repo_id} needs {size / 1e6:,.0f} MB in {cache}, and {place} has {free / 1e6:,.0f} MB free. Free "
            "some space, or set HF_HOME to a folder on a larger disk"
        )


class _Warnings(logging.Handler):
    """Passes the client's warnings on, and the pauses that the Hub asks it for."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().partition("\n")[0]
        if pause := _PAUSE.search(line):
            self._say("wait", float(pause[1]))
        elif record.levelno >= logging.WARNING or " lock " in line:  # a killed client can leave one behind
            self._say("note", line[:300])
