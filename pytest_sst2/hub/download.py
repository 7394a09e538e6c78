"""Get a repository from the cache or the Hub, which one process at a time downloads from."""

from __future__ import annotations

import contextlib
import functools
import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from pytest_sst2.hub.cache import (
    Lookup,
    Snapshot,
    endpoint,
    is_offline,
    locks_folder,
    repository_folder,
    token_problem,
)
from pytest_sst2.hub.child import IDLE_VARIABLE, POLL_SECONDS, START_SECONDS, Child, Watch
from pytest_sst2.hub.errors import HubError, explained, long_pause, root_cause
from pytest_sst2.hub.worker import LONGEST_PAUSE_SECONDS, Request

# An unreachable Hub must be reported within five seconds, including dead names and silent servers.
REACH_SECONDS = 4.0
# Bounds for an answer without an end: bytes on the disk above twice the listed ones, and memory of a listing.
_EXCESS_BYTES = 1 << 26
_MEMORY_BYTES = 1 << 30
_current: list[str] = []

Repository = tuple[str, str | None]
"""``org/name`` of a model, and its revision; None for main."""


def obtain(request: Request, find: Callable[[], Lookup]) -> tuple[str, Snapshot]:
    """Return a repository in the cache, and whether it comes from there (``cache``) or was downloaded (``hub``).

    Args:
        request: The repository and its files.
        find: Looks into the cache.

    Raises:
        HubError: The cache has no copy, and the Hub is unreachable, refuses, fails, or sends nothing for 30 s; or
            network access is forbidden, or ``Request.select`` refuses the files.
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


@contextlib.contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the repository's lock in the body.

    Raises:
        HubError: The cache is not writable, or the download of the other process brings nothing.
    """
    import filelock

    path, watch = locks_folder(root) / "pytest-sst2.lock", Watch(root)
    lock = filelock.FileLock(path, timeout=POLL_SECONDS, mode=0o664)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while not lock.is_locked and not watch.is_idle():
            with contextlib.suppress(filelock.Timeout):
                lock.acquire()
    except NotImplementedError:  # a disk without locks: each process downloads
        pass
    except OSError as error:
        raise HubError(f"the cache in {root.parent} cannot be written ({error.strerror or error})") from error
    else:
        if not lock.is_locked:
            raise HubError(
                f"another process is downloading {root.name} and makes no progress; end it, or remove {path} if there "
                "is no such process"
            )
    try:
        yield
    finally:
        lock.release()


def _run(request: Request, root: Path) -> Path:
    """Return the snapshot's folder that the child process downloaded."""
    _current[:] = [f"asking the Hub for {request.repo_id}"]
    with Child(request) as child:
        watch, said = Watch(root), child.said
        watch.extend(START_SECONDS)
        while child.is_running():
            if said.pop("ready", False):  # the start of a process on a busy machine is not the Hub's time
                watch = Watch(root)
            if pause := said.pop("wait", 0.0):
                if pause > LONGEST_PAUSE_SECONDS:
                    raise long_pause(endpoint(), pause)
                watch.extend(pause)
            if watch.is_idle():
                detail = f" ({said['note']})" if "note" in said else ""
                raise HubError(
                    f"the download from {endpoint()} timed out: no more data of {request.repo_id} arrived{detail} for "
                    f"{watch.patience:g} s ({IDLE_VARIABLE})"
                )
            total = said.get("bytes", 0)
            if (total and watch.arrived_bytes > 2 * total + _EXCESS_BYTES) or child.memory_bytes > _MEMORY_BYTES:
                raise HubError(f"{endpoint()} sends more data than {request.repo_id} can have")
            if total:
                arrived = f"{min(total, watch.arrived_bytes) / 1e6:,.1f} of {total / 1e6:,.1f} MB"
                _current[:] = [f"downloading {request.repo_id}, {arrived}"]
        return child.answer


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


def refusals(repositories: Collection[Repository]) -> dict[Repository, str]:
    """Ask the Hub for models at once, and return its reasons for those that it certainly does not give.

    A model is not among them if the answer takes longer than four seconds or is another error, because a download
    retries.
    """
    if not repositories:
        return {}
    try:
        check_reachable()
    except HubError as error:
        return dict.fromkeys(repositories, str(error))
    answers: queue.SimpleQueue[tuple[Repository, str]] = queue.SimpleQueue()
    for repository in repositories:
        threading.Thread(
            target=lambda asked: answers.put((asked, _refusal(*asked))), args=(repository,), daemon=True
        ).start()
    reasons, end = {}, time.monotonic() + REACH_SECONDS
    with contextlib.suppress(queue.Empty):
        for _ in repositories:
            repository, reason = answers.get(timeout=max(0.0, end - time.monotonic()))
            reasons[repository] = reason
    return {repository: reasons[repository] for repository in repositories if reasons.get(repository)}


def _refusal(repo_id: str, revision: str | None) -> str:
    """Return why the Hub refuses a model; empty if it may give it."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url, utils

    try:
        url = hf_hub_url(repo_id, "config.json", revision=revision, endpoint=endpoint())
        get_hf_file_metadata(url, timeout=REACH_SECONDS)
    except (utils.HFValidationError, utils.RepositoryNotFoundError, utils.RevisionNotFoundError) as error:
        return str(explained(error, repo_id, revision, endpoint()))
    except Exception:  # the download finds out
        return ""
    return ""


@functools.cache
def _unreachable_reason(address: str) -> str:
    """Return why the Hub cannot be reached; empty if it answered anything at all."""
    from huggingface_hub import get_session

    parts = urlsplit(address)
    proxy = "" if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme, "")
    by = f" through the proxy {proxy}" if proxy else ""
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()

    def ask() -> None:
        reason = ""
        for _ in range(2):  # a server may drop the first connection
            try:
                session.head(f"{address}/api/models", timeout=REACH_SECONDS)
            except Exception as error:
                reason = f"{address} cannot be reached{by} ({root_cause(error, answered=False)})"
            else:
                reason = ""
                break
        answers.put(reason)

    try:
        session = get_session()  # takes a second on a busy machine, which is not the Hub's
        # A thread, because the lookup of a dead name can take longer than any timeout of the client.
        threading.Thread(target=ask, daemon=True).start()
        return answers.get(timeout=REACH_SECONDS)
    except ValueError as error:  # of a proxy's address
        return f"{address} cannot be asked{by} ({error})"
    except queue.Empty:
        return f"{address} cannot be reached{by} (no answer within {REACH_SECONDS:g} s)"
