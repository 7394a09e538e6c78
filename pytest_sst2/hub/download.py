"""Download a repository: one process at a time, in a child process that is ended if nothing arrives."""

from __future__ import annotations

import contextlib
import functools
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_sst2.hub.cache import Lookup, Snapshot, client, endpoint, is_offline, repository_folder, token_problem
from pytest_sst2.hub.child import Child
from pytest_sst2.hub.errors import HubError, long_pause, root_cause
from pytest_sst2.hub.worker import LONGEST_PAUSE_SECONDS, Request

# An unreachable Hub must be reported within five seconds, including dead names and silent servers.
REACH_TIMEOUT_SECONDS = 4.0
# Time without a new byte on the disk after which a download is ended.
IDLE_SECONDS = 30.0
IDLE_VARIABLE = "PYTEST_SST2_HUB_PATIENCE"
_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
# Bounds for an answer without an end: more bytes on the disk than listed, and memory of a listing.
_EXCESS_BYTES = 1 << 26
_MEMORY_BYTES = 1 << 30
_current: list[str] = []


def obtain(request: Request, find: Callable[[], Lookup]) -> tuple[str, Snapshot]:
    """Return ``cache`` or ``hub``, and the snapshot of a repository in the cache.

    The cache comes first, then the Hub.

    Args:
        request: The repository and its files.
        find: Looks into the cache.

    Raises:
        HubError: The cache has no copy, and the Hub is unreachable, refuses, fails, or sends nothing for 30 s; or
            network access is forbidden.
        Sst2Error: The files cannot be used, as ``Request.select`` says.
    """
    lookup = find()
    if lookup.snapshot is not None:
        return "cache", lookup.snapshot
    try:
        return "hub", download(request, find)
    except HubError as error:
        raise HubError(f"{lookup.reason}, and {error}") from error


def download(request: Request, find: Callable[[], Lookup]) -> Snapshot:
    """Download the selected files of a repository, all at one commit; raises as ``obtain``.

    Of several processes that want the same repository one downloads it, and the others wait for it.
    """
    check_reachable()
    root = repository_folder(request.repo_id, request.repo_type)
    with _lock(root):
        # Another process may have downloaded it since the caller's look, also without any wait for the lock.
        if (snapshot := find().snapshot) is not None:
            return snapshot
        try:
            folder = _run(request, root)
        finally:
            _current.clear()
        return Snapshot(folder, folder.name)


def current_download() -> str:
    """Return the download in progress as a phrase with its bytes, or an empty string."""
    return _current[-1] if _current else ""


def idle_seconds() -> float:
    """Return how long a download may bring nothing: 30 s, or the value of ``PYTEST_SST2_HUB_PATIENCE``."""
    text = os.environ.get(IDLE_VARIABLE) or str(IDLE_SECONDS)
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise HubError(f"{IDLE_VARIABLE} is {text!r}, but must be a number of seconds above 0")


class _Watch:
    """Measures how long nothing arrived in a repository's folder, the shared blobs, or the Xet cache."""

    def __init__(self, root: Path) -> None:
        self._folders = [root, root.parent / "blobs", Path(getattr(client(), "HF_XET_CACHE", root / "xet"))]
        self._first = self._bytes = self._held()
        self._patience = idle_seconds()
        self._deadline = time.monotonic() + self._patience

    @property
    def arrived_bytes(self) -> int:
        """Bytes that arrived since the first look."""
        return max(0, self._bytes - self._first)

    def extend(self, seconds: float) -> None:
        """Allow a pause of some seconds."""
        self._deadline = max(self._deadline, time.monotonic() + seconds + self._patience)

    def is_idle(self) -> bool:
        """Return whether nothing arrived for too long."""
        held = self._held()
        if held > self._bytes:
            self._bytes = held
            self.extend(0)
        return time.monotonic() > self._deadline

    def _held(self) -> int:
        total = 0
        for place, folders, names in (entry for folder in self._folders for entry in os.walk(folder)):
            if "logs" in folders:
                folders.remove("logs")  # of the Xet client, which notes each failure there
            for name in names:
                with contextlib.suppress(OSError):
                    state = Path(place, name).lstat()
                    total += state.st_size if stat.S_ISREG(state.st_mode) else 0
        return total


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the repository's lock in the body.

    Raises:
        HubError: The cache is not writable, or the download of the other process brings nothing.
    """
    import filelock

    path = root.parent / ".locks" / root.name / "pytest-sst2.lock"
    watch = _Watch(root)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: filelock.BaseFileLock = filelock.FileLock(path, mode=0o664)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_POLL_SECONDS)
            except filelock.Timeout:
                if watch.is_idle():
                    raise HubError(
                        f"another process is downloading {root.name} and makes no progress; end it, or remove "
                        f"{lock.lock_file} if there is no such process"
                    ) from None
            except NotImplementedError:  # a file system without locks
                lock = filelock.SoftFileLock(path.with_suffix(".soft"))
    except OSError as error:
        raise HubError(f"the cache in {root.parent} cannot be written ({error.strerror or error})") from error
    try:
        yield
    finally:
        lock.release()


def _run(request: Request, root: Path) -> Path:
    """Return the snapshot's folder that the child process downloaded."""
    total, note = 0, "its process has not started"
    _current[:] = [f"asking the Hub for {request.repo_id}"]
    with Child(request) as child:
        watch = _Watch(root)
        watch.extend(_START_SECONDS)
        while True:
            message = child.next_message(_POLL_SECONDS)
            if "ready" in message:  # the start of a process on a busy machine is not the Hub's time
                watch, note = _Watch(root), ""
            note, total = message.get("note", note), message.get("bytes", total)
            if "problem" in message:
                raise HubError(message["problem"])
            if "folder" in message:
                return Path(message["folder"])
            if (pause := message.get("wait", 0.0)) > LONGEST_PAUSE_SECONDS:
                raise long_pause(endpoint(), pause)
            if pause:
                watch.extend(pause)
            if watch.is_idle():
                detail = f" ({note})" if note else ""
                raise HubError(
                    f"the download from {endpoint()} timed out: no more data of {request.repo_id} arrived{detail} for "
                    f"{idle_seconds():g} s ({IDLE_VARIABLE})"
                )
            if total and watch.arrived_bytes > 2 * total + _EXCESS_BYTES:
                raise HubError(f"{endpoint()} sent more than the {total:,} bytes it announced for {request.repo_id}")
            if child.memory_bytes() > _MEMORY_BYTES:
                raise HubError(f"{endpoint()} answers with more data than any listing of {request.repo_id} can have")
            if total:
                arrived = f"{min(total, watch.arrived_bytes) / 1e6:,.1f} of {total / 1e6:,.1f} MB"
                _current[:] = [f"downloading {request.repo_id}, {arrived}"]


def check_reachable() -> None:
    """Ask the Hub for a sign of life, once per process and endpoint.

    Raises:
        HubError: It did not answer within four seconds, the environment forbids network access, or the client could not
            read its token.
    """
    if is_offline():
        raise HubError("the Hub is disabled by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE")
    if reason := token_problem() or _unreachable_reason(endpoint()):
        raise HubError(reason)


@functools.cache
def _unreachable_reason(address: str) -> str:
    """Return why the Hub cannot be reached; empty if it answered anything at all."""
    from huggingface_hub import get_session

    parts = urlsplit(address)
    proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
    by = f" through the proxy {proxy}" if proxy else ""
    answers: list[str] = []

    def ask() -> None:
        start, reason = time.monotonic(), ""
        for _ in range(2):  # a server may drop the first connection
            try:
                session.head(f"{address}/api/models", timeout=REACH_TIMEOUT_SECONDS - 0.5)
            except Exception as error:
                reason = f"{address} cannot be reached{by} ({root_cause(error, answered=False)})"
                if time.monotonic() - start > 1:
                    break
            else:
                reason = ""
                break
        answers.append(reason)

    try:
        session = get_session()  # takes a second on a busy machine, which is not the Hub's
    except ValueError as error:  # of a proxy's address
        return f"{address} cannot be asked{by} ({error})"
    # A thread, because the lookup of a dead name can take longer than any timeout of the client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS)
    return answers[0] if answers else f"{address} gave no answer{by} within {REACH_TIMEOUT_SECONDS:g} s"
