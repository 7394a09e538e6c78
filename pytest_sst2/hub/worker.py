"""Child process that runs huggingface_hub, so that a download can be ended at any time.

It reads one ``Request`` as JSON from standard input and exits when that is closed. It writes JSON objects to
standard output, one per line: ``ready``; ``wait``, seconds that the Hub asked for; ``note``, a warning of the client;
``bytes``, the size of the download; and at the end ``folder`` or ``problem``.
"""

from __future__ import annotations

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TypeVar

from pytest_sst2.hub.cache import RepoType, repository_folder
from pytest_sst2.hub.errors import HubError, explained, http_response, http_status, refused_token
from pytest_sst2.hub.verification import verify
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error

# A longer pause is an answer, not a pause.
LONGEST_PAUSE_SECONDS = 60.0
_RETRIED = (429, 500, 502, 503, 504)
_PAUSES_SECONDS = (1.0, 3.0)
_SPARE_BYTES = 1 << 26
_PAUSE = re.compile(r"Waiting ([0-9.]+)s before retry|Retrying in ([0-9.]+)s")
_ADDRESS = re.compile(r"(?: from| GET| HEAD)? https?://\S*?(?=:?(?:\s|$))")

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
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # nothing else that is printed is an answer
    writing = threading.Lock()

    def say(kind: str, value: object) -> None:
        with writing:
            answers.write(f"\n{json.dumps({kind: value})}\n")  # after a line that a library left unfinished
            answers.flush()

    request = Request(**json.loads(sys.stdin.readline()))
    kept = set(_unfinished(request))

    def leave() -> NoReturn:
        """Remove the unfinished files of this download, which the client would not use again, and exit."""
        for path in set(_unfinished(request)) - kept:
            path.unlink(missing_ok=True)
        os._exit(0)  # threads of the client may still wait

    def leave_with_parent() -> None:
        sys.stdin.read()
        leave()

    threading.Thread(target=leave_with_parent, daemon=True).start()
    logger = logging.getLogger("huggingface_hub")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Warnings(say)]
    logger.propagate = False
    import huggingface_hub

    _ = huggingface_hub.snapshot_download  # imported lazily by name
    say("ready", True)
    try:
        say("folder", str(download(request, say)))
    except Sst2Error as error:
        say("problem", str(error))
    leave()


def _unfinished(request: Request) -> Iterator[Path]:
    return repository_folder(request.repo_id, request.repo_type).glob("blobs/*.incomplete")


def download(request: Request, say: Callable[[str, object], None]) -> Path:
    """Download the selected files of a repository at one commit, and return the snapshot's folder.

    Args:
        request: The repository.
        say: Receives ``bytes`` and ``wait``.

    Raises:
        Sst2Error: The Hub refuses or fails, the disk is too small, or ``select`` refuses the repository.
    """
    from huggingface_hub import HfApi, constants, snapshot_download

    def info() -> Any:
        return HfApi().repo_info(
            request.repo_id,
            repo_type=request.repo_type,
            revision=request.revision,
            files_metadata=True,
            timeout=constants.HF_HUB_ETAG_TIMEOUT,
        )

    def size_of(names: Iterable[str]) -> int:
        return sum(entries[name].size or 0 for name in names)

    def fetch(names: Sequence[str]) -> Path:
        say("bytes", size_of(names))
        patterns = [glob.escape(name) for name in names]
        folder = _explain(
            request,
            lambda: snapshot_download(
                request.repo_id, repo_type=request.repo_type, revision=found.sha, allow_patterns=patterns
            ),
        )
        verify(request.repo_id, Path(folder), {name: entries[name] for name in names}, started)
        return Path(folder)

    started = time.time() - 1
    found = _explain(request, lambda: _with_retries(info, say))
    if not isinstance(found.sha, str) or not found.sha.isalnum():
        raise explained(TypeError(found.sha), request.repo_id, request.revision, constants.ENDPOINT)
    entries = {entry.rfilename: entry for entry in found.siblings or []}
    if any(".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute() for name in entries):
        raise HubError(f"{constants.ENDPOINT} lists a file of {request.repo_id} outside its folder")
    names = pkgutil.resolve_name(request.select)({name: entry.size for name, entry in entries.items()}, fetch)
    if not names:
        raise HubError(f"{request.repo_id} at {constants.ENDPOINT} has none of the files that are needed")
    _check_disk(request, size_of(names), Path(constants.HF_HUB_CACHE))
    folder = fetch(names)
    if request.revision != found.sha:  # the client keeps no reference of a commit
        write_atomically(folder.parents[1] / "refs" / (request.revision or "main"), found.sha)
    return folder


def _with_retries(call: Callable[[], T], say: Callable[[str, object], None]) -> T:
    """Return what ``call`` returns, repeated if the Hub says that another try may help.

    The client itself does not repeat a failed listing.
    """
    for pause in _PAUSES_SECONDS:
        try:
            return call()
        except Exception as error:
            if http_status(error) not in _RETRIED:
                raise
            told = http_response(error).headers.get("Retry-After", "")
            seconds = float(told) if told.isdecimal() else pause
            say("wait", seconds)  # a pause that is too long ends the process
            time.sleep(seconds)
    return call()


def _explain(request: Request, call: Callable[[], T]) -> T:
    """Return what ``call`` returns; raise its failure as a clause."""
    from huggingface_hub import constants, get_token, utils

    try:
        return call()
    except Exception as error:
        clause = explained(error, request.repo_id, request.revision, constants.ENDPOINT)
        if http_status(error) == 401 and not isinstance(error, utils.GatedRepoError) and get_token() is not None:
            clause = refused_token(request.repo_id, constants.ENDPOINT, public=_is_public(request))
        raise clause from error


def _is_public(request: Request) -> bool:
    from huggingface_hub import HfApi

    try:
        HfApi(token=False).repo_info(request.repo_id, repo_type=request.repo_type, revision=request.revision)
    except Exception:
        return False
    return True


def _check_disk(request: Request, size: int, cache: Path) -> None:
    place = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(place).free
    if size + _SPARE_BYTES > free:
        raise HubError(
            f"{request.repo_id} needs {size / 1e6:,.0f} MB in {cache}, and {place} has {free / 1e6:,.0f} MB free. Free "
            "some space, or set HF_HOME to a folder on a larger disk"
        )


class _Warnings(logging.Handler):
    """Passes the client's warnings on, with the pauses that it makes and without its long addresses."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().partition("\n")[0]
        if pause := _PAUSE.search(line):
            self._say("wait", float(pause[1] or pause[2]))
        elif record.levelno >= logging.WARNING or " lock " in line:  # a killed client can leave one behind
            self._say("note", _ADDRESS.sub("", line)[:300])
