"""Download a repository: one process at a time, in a child process that is ended if nothing arrives."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import queue
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pytest_sst2.hub.cache import Lookup, Snapshot, cache_folder, endpoint, is_offline, repository_folder
from pytest_sst2.hub.errors import HubError, is_hang_up, long_pause, root_cause
from pytest_sst2.hub.worker import LONGEST_PAUSE_SECONDS, Request
from pytest_sst2.utils.atomic_write import temporary_folder

# An unreachable Hub must be reported within five seconds, including dead names and silent servers.
REACH_TIMEOUT_SECONDS = 4.0
# Time without a new byte on the disk after which a download is ended.
IDLE_SECONDS = 30.0
IDLE_VARIABLE = "PYTEST_SST2_HUB_PATIENCE"
_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
_EXIT_SECONDS = 2.0
# Bounds for an answer without an end: more bytes on the disk than listed, and memory of a listing.
_EXCESS_BYTES = 1 << 26
_MEMORY_BYTES = 1 << 30
# Not the current folder: a file there with the name of a module of the client would be imported.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import pytest_sst2; del sys.path[0]; "
    "from pytest_sst2.hub.worker import main; main()"
)
_current: list[str] = []


def download(request: Request, find: Callable[[], Lookup]) -> Snapshot:
    """Download the selected files of a repository, all at one commit.

    Of several processes that want the same repository one downloads it, and the others wait for it.

    Args:
        request: The repository and its files.
        find: Looks into the cache, where another process may have put the files.

    Raises:
        HubError: The Hub is unreachable, refuses, fails, or sends nothing for 30 s; or network access is forbidden.
        Sst2Error: The files cannot be used, as ``Request.select`` or ``Request.check`` says.
    """
    check_reachable()
    root = repository_folder(request.repo_id, request.repo_type)
    with _lock(root) as waited:
        if waited and (snapshot := find().snapshot) is not None:
            return snapshot
        folder = _run(request, root)
        return Snapshot(folder, folder.name)


def current_download() -> str:
    """Return the download in progress as a phrase with its bytes, or an empty string."""
    return _current[-1] if _current else ""


def idle_seconds() -> float:
    """Return how long a download may bring nothing: 30 s, or the value of ``PYTEST_SST2_HUB_PATIENCE``."""
    text = os.environ.get(IDLE_VARIABLE, "")
    try:
        seconds = float(text) if text else IDLE_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise HubError(f"{IDLE_VARIABLE} is {text!r}, but must be a number of seconds above 0")
    return seconds


class _Watch:
    """Measures how long nothing arrived in a repository's folder, the shared blobs, or the Xet cache."""

    def __init__(self, root: Path) -> None:
        from huggingface_hub import constants

        self._folders = [root, root.parent / "blobs", Path(getattr(constants, "HF_XET_CACHE", root / "xet"))]
        self._first = self._bytes = self._held()
        self._deadline = time.monotonic() + idle_seconds()

    @property
    def arrived_bytes(self) -> int:
        """Bytes that arrived since the first look."""
        return max(0, self._bytes - self._first)

    def extend(self, seconds: float) -> None:
        """Allow a pause that the Hub asked for."""
        self._deadline = max(self._deadline, time.monotonic() + seconds + idle_seconds())

    def is_idle(self) -> bool:
        """Return whether nothing arrived for too long."""
        held = self._held()
        if held > self._bytes:
            self._deadline = max(self._deadline, time.monotonic() + idle_seconds())
        self._bytes = max(self._bytes, held)
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
def _lock(root: Path) -> Iterator[bool]:
    """Hold the repository's lock in the body; yield whether another process held it before.

    Raises:
        HubError: The cache is not writable, or the download of the other process brings nothing.
    """
    import filelock

    path = root.parent / ".locks" / root.name / "pytest-sst2.lock"
    watch, waited = _Watch(root), False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: filelock.BaseFileLock = filelock.FileLock(path, mode=0o664)
        while not lock.is_locked:
            try:
                lock.acquire(timeout=_POLL_SECONDS)
            except filelock.Timeout:
                waited = True
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
        yield waited
    finally:
        lock.release()


def _run(request: Request, root: Path) -> Path:
    """Return the snapshot's folder that the child process downloaded."""
    total, note = 0, ""
    with _child(request) as messages:
        _wait_until_ready(messages)
        watch = _Watch(root)
        while True:
            message = messages.next()
            note = message.get("note", note)
            total = message.get("bytes", total)
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
            if messages.memory_bytes() > _MEMORY_BYTES:
                raise HubError(f"{endpoint()} answers with more data than any listing of {request.repo_id} can have")
            of = f" of {total / 1e6:,.0f}" if total else ""
            _current[-1:] = [f"downloading {request.repo_id}, {watch.arrived_bytes / 1e6:,.0f}{of} MB"]


def _wait_until_ready(messages: _Messages) -> None:
    """Wait for the child's start, whose time on a busy machine is not the Hub's."""
    deadline = time.monotonic() + _START_SECONDS
    while "ready" not in messages.next():
        if time.monotonic() > deadline:
            raise HubError(f"the download process did not start within {_START_SECONDS:.0f} s")


class _Messages:
    """The messages of a child process."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[bytes]) -> None:
        import psutil

        self._process, self._errors = process, errors
        self._status = psutil.Process(process.pid)
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._lines.put(line)
        self._lines.put(None)

    def next(self) -> dict[str, Any]:
        """Wait briefly and return the next message, empty if there is none.

        Raises:
            HubError: The process ended without an answer.
        """
        try:
            line = self._lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return {}
        if line is None:
            self._process.wait()
            self._errors.seek(0)
            lines = self._errors.read().decode(errors="replace").strip().splitlines()
            last = lines[-1] if lines else f"exit status {self._process.returncode}"
            raise HubError(f"the download process ended without an answer ({last})")
        with contextlib.suppress(ValueError):  # what an interpreter prints when it starts
            message = json.loads(line)
            return message if isinstance(message, dict) else {}
        return {}

    def memory_bytes(self) -> int:
        """Return the resident memory of the process."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(self._status.memory_info().rss)
        return 0


@contextlib.contextmanager
def _child(request: Request) -> Iterator[_Messages]:
    """Run the child process with a request in the body, then end it."""
    try:
        errors = tempfile.TemporaryFile(dir=temporary_folder())  # noqa: SIM115 - closed below
    except OSError as error:
        raise HubError(
            f"no temporary file can be created in {tempfile.gettempdir()} ({error.strerror or error}), which a "
            "download needs; set TMPDIR to a writable folder with a few MB free"
        ) from error
    own = {"HF_ENDPOINT": endpoint(), "HF_HUB_CACHE": str(cache_folder()), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    own["HF_HUB_DISABLE_TELEMETRY"] = "1"  # hf_xet would report each download to the Hub
    with errors:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(Path(__file__).resolve().parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **own, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"},
            text=True,
            encoding="utf-8",
        )
        _current.append(f"asking the Hub for {request.repo_id}")
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(asdict(request)) + "\n")
                    process.stdin.flush()
            yield _Messages(process, errors)
        finally:
            _current.clear()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()  # the process removes its unfinished files and exits
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_EXIT_SECONDS)
            process.kill()
            process.wait()


def check_reachable() -> None:
    """Ask the Hub for a sign of life, once per process and endpoint.

    Raises:
        HubError: It did not answer within four seconds, or the environment forbids network access.
    """
    if is_offline():
        raise HubError("the Hub is disabled by HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE")
    if reason := _unreachable_reason(endpoint()):
        raise HubError(reason)


@functools.cache
def _unreachable_reason(address: str) -> str:
    """Return why the Hub cannot be reached; empty if it answered anything at all."""
    from huggingface_hub import get_session

    session = get_session()  # takes a second on a busy machine, which is not the Hub's
    answers: list[str] = []

    def ask(*, retry: bool = True) -> None:
        try:
            session.head(f"{address}/api/models", timeout=REACH_TIMEOUT_SECONDS - 0.5)
        except Exception as error:
            if retry and is_hang_up(error):
                ask(retry=False)
                return
            answers.append(f"{address} cannot be reached ({root_cause(error)})")
        else:
            answers.append("")

    # A thread, because the lookup of a dead name can take longer than any timeout of the client.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(REACH_TIMEOUT_SECONDS)
    return answers[0] if answers else f"{address} gave no answer within {REACH_TIMEOUT_SECONDS:g} s"
