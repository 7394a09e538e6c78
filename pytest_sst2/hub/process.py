"""Start the process that downloads from the Hub, watch its progress, and kill it if it makes none.

huggingface_hub retries and waits by its own rules, in threads that cannot be stopped, and for as long as the Hub
demands. A process can be killed. Files on disk show its progress, also to other processes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from pytest_sst2.hub.client import ListedFile, Listing, Question
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import half_files
from pytest_sst2.utils.atomic_write import temporary_folder

# Idle-time budget of all downloads of a process.
PATIENCE_SECONDS = 30.0
PATIENCE_VARIABLE = "PYTEST_SST2_HUB_PATIENCE"
# A slower download counts as idle.
SLOWEST_BYTES_PER_SECOND = 1 << 14
# Limits for endless answers: a listing in memory, files on disk.
MAX_MEMORY_BYTES = 1 << 29
_MAX_EXCESS_BYTES = 1 << 24
_POLL_SECONDS = 0.2
_START_SECONDS = 120.0
# The working folder is not on sys.path: a file named like a module of huggingface_hub would be imported instead.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import pytest_sst2; del sys.path[0]; "
    "from pytest_sst2.hub.worker import main; main()"
)


@dataclass
class Patience:
    """Idle-time budget in seconds. Time spent waiting for data that did arrive is refunded."""

    whole_seconds: float
    left_seconds: float

    @property
    def is_over(self) -> bool:
        """Whether the budget is used up."""
        return self.left_seconds <= 0

    def watch(self, folder: Path) -> Watch:
        """Start watching the data that arrives in a folder."""
        return Watch(self, folder, self.left_seconds)


@dataclass
class Watch:
    """Measures the data that any process adds to a repository's folder in the cache.

    Attributes:
        came_bytes: Bytes that arrived since the first look.
    """

    patience: Patience
    folder: Path
    most_seconds: float
    came_bytes: int = 0
    _files: int = 0
    _first_bytes: int = -1
    _last: float = field(default_factory=lambda: time.monotonic())

    def succeed(self) -> None:
        """Refund the time since the start of the watch, because the download succeeded."""
        self.patience.left_seconds = self.most_seconds

    def look(self) -> bool:
        """Charge the time since the last look to the budget; return whether some is left."""
        files, held = _held(self.folder)
        if self._first_bytes < 0:
            self._first_bytes, self._files = held, files
        now = time.monotonic()
        # A download that restarts repeatedly adds no new data.
        came = max(0, held - self._first_bytes - self.came_bytes)
        earned = came / SLOWEST_BYTES_PER_SECOND + max(0, files - self._files)
        self.came_bytes += came
        self._files = max(self._files, files)
        left = min(self.most_seconds, self.patience.left_seconds + earned)
        self.patience.left_seconds = max(0.0, left - (now - self._last))
        self._last = now
        return not self.patience.is_over


def _held(folder: Path) -> tuple[int, int]:
    """Return the number of finished files in a folder, and the bytes of all files, unfinished ones included."""
    files = held = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # deleted in the meantime
                state = Path(place, name).lstat()
                if stat.S_ISREG(state.st_mode):  # skip the links of snapshots
                    held += state.st_size
                    files += not name.endswith(".incomplete")
    return files, held


def whole_patience() -> Patience:
    """Return the budget of a new process: 30 seconds, or the value of ``PYTEST_SST2_HUB_PATIENCE``."""
    value = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(value) if value else PATIENCE_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise HubError(f"{PATIENCE_VARIABLE} is {value!r}, but must be a number of seconds above 0")
    return Patience(seconds, seconds)


def ask(
    question: Question,
    folder: Path,
    patience: Patience,
    environment: Mapping[str, str],
    beat: Callable[[], None] = lambda: None,
) -> Listing:
    """Download in a separate process, and return the Hub's listing of the files.

    Args:
        question: The request.
        folder: The repository's folder in the cache.
        patience: Idle-time budget.
        environment: Environment variables of the process, in addition to those of this process.
        beat: Called repeatedly until the process answers.

    Raises:
        HubError: The Hub refuses the request, the download fails, is idle for too long, or is too large.
    """
    address = environment["HF_ENDPOINT"]
    listed_bytes: int | None = None
    note = ""
    with _started(question, environment) as child:
        child.wait_until_ready(beat)
        watch = patience.watch(folder)
        while True:
            beat()
            message = child.next_message()
            note = message.get("note", note)
            listed_bytes = message.get("bytes", listed_bytes)
            if "problem" in message:
                raise HubError(message["problem"])
            if "listing" in message:
                watch.succeed()
                return _listing(message["listing"])
            if not watch.look():
                raise given_up(address, f"no more data of {question.repo_id} arrived", patience, note)
            if listed_bytes is not None and watch.came_bytes > listed_bytes + _MAX_EXCESS_BYTES:
                raise HubError(f"{address} sends more of {question.repo_id} than the {listed_bytes:,} bytes it lists")
            if child.memory_bytes() > MAX_MEMORY_BYTES:
                raise HubError(f"{address} answers with more data than any listing of {question.repo_id} can have")


def given_up(address: str, why: str, patience: Patience, note: str = "") -> HubError:
    """Return the clause for a Hub that used up the idle-time budget."""
    detail = f" ({note})" if note else ""
    return HubError(
        f"the download from {address} timed out: {why}{detail}, and a run waits {patience.whole_seconds:g} s in total "
        f"({PATIENCE_VARIABLE})"
    )


def _listing(content: dict[str, Any]) -> Listing:
    files = {name: ListedFile(**entry) for name, entry in content["files"].items()}
    return Listing(content["commit"], content["revision"], files)


class _Child:
    """The running process and the messages that it sends."""

    def __init__(self, process: subprocess.Popen[str], stderr: IO[bytes]) -> None:
        import psutil

        self._process = process
        self._stderr = stderr
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._statistics = psutil.Process(process.pid)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._lines.put(line)
        self._lines.put(None)

    def wait_until_ready(self, beat: Callable[[], None]) -> None:
        """Wait until the process is ready to send requests; its start-up does not count as idle time."""
        end = time.monotonic() + _START_SECONDS
        while "ready" not in self.next_message():
            beat()
            if time.monotonic() > end:
                raise HubError(f"the download process did not start within {_START_SECONDS:.0f} s")

    def next_message(self) -> dict[str, Any]:
        """Return the next message of the process, or an empty one after a short timeout.

        Raises:
            HubError: The process ended without an answer.
        """
        try:
            line = self._lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            return {}
        if line is None:
            raise HubError(f"the download process ended without an answer ({self._last_error()})")
        try:
            message = json.loads(line)
        except ValueError:
            message = None
        # Other output can precede the messages, for example of a sitecustomize module.
        return message if isinstance(message, dict) else {}

    def _last_error(self) -> str:
        self._process.wait()
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def memory_bytes(self) -> int:
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(self._statistics.memory_info().rss)
        return 0


def _stderr_file() -> IO[bytes]:
    """Return a new unnamed temporary file for the process's standard error."""
    try:
        return tempfile.TemporaryFile(dir=temporary_folder())
    except OSError as error:
        raise HubError(
            f"no temporary file can be created in {tempfile.gettempdir()} ({error.strerror or error}); set TMPDIR to a "
            "writable folder with a few MB of free space"
        ) from error


@contextlib.contextmanager
def _started(question: Question, environment: Mapping[str, str]) -> Iterator[_Child]:
    """Run the download process for the duration of the body."""
    package_root = str(Path(__file__).resolve().parents[2])
    with _stderr_file() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, package_root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
        )
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(asdict(question)) + "\n")
                    process.stdin.flush()
            yield _Child(process, stderr)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Kill the download process if it is still running, and delete its unfinished files."""
    import psutil

    half: list[Path] = []
    with contextlib.suppress(psutil.Error):
        child = psutil.Process(process.pid)
        child.suspend()  # otherwise one of its threads could create another file
        half = half_files(child)
    process.kill()
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    for path in half:
        path.unlink(missing_ok=True)
