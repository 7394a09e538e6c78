"""The process that asks the Hub: started, watched, and ended when nothing comes of it.

The Hub's client tries again and waits by rules of its own, in threads that nothing can end, and for as long as the Hub
asks it to. A process can be ended. How far it is is seen by what is on the disk, also where another process is at it.
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

# What all downloads of a process may wait in all for a Hub that brings nothing.
PATIENCE_SECONDS = 30.0
PATIENCE_VARIABLE = "PYTEST_SST2_HUB_PATIENCE"
# What is slower than this counts as nothing.
SLOWEST_BYTES_PER_SECOND = 1 << 14
# An answer that goes on for ever ends here: of a listing in memory, of files on disk.
MOST_MEMORY_BYTES = 1 << 29
_MOST_TOO_MUCH_BYTES = 1 << 24
_LOOK_SECONDS = 0.2
_START_SECONDS = 120.0
# Not the folder of whoever runs it: what is called like a module of the client's would be taken for it.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import pytest_sst2; del sys.path[0]; "
    "from pytest_sst2.hub.worker import main; main()"
)


@dataclass
class Patience:
    """The seconds that are left to wait for nothing; what comes gives back what its own wait has cost, and no more."""

    whole_seconds: float
    left_seconds: float

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return self.left_seconds <= 0

    def watch(self, folder: Path) -> Watch:
        """Begin to look at what comes into a folder."""
        return Watch(self, folder, self.left_seconds)


@dataclass
class Watch:
    """One look after another at what comes into a repository's folder in the cache, whoever brings it.

    Attributes:
        came_bytes: How much has come since the first look.
    """

    patience: Patience
    folder: Path
    most_seconds: float
    came_bytes: int = 0
    _files: int = 0
    _first_bytes: int = -1
    _last: float = field(default_factory=lambda: time.monotonic())

    def succeed(self) -> None:
        """Give back what was taken: that was no wait for nothing."""
        self.patience.left_seconds = self.most_seconds

    def look(self) -> bool:
        """Take the time since the last look from the patience; tell whether some is left."""
        files, held = _held(self.folder)
        if self._first_bytes < 0:
            self._first_bytes, self._files = held, files
        now = time.monotonic()
        # A download that begins anew, over and over, brings nothing that was not there.
        came = max(0, held - self._first_bytes - self.came_bytes)
        earned = came / SLOWEST_BYTES_PER_SECOND + max(0, files - self._files)
        self.came_bytes += came
        self._files = max(self._files, files)
        left = min(self.most_seconds, self.patience.left_seconds + earned)
        self.patience.left_seconds = max(0.0, left - (now - self._last))
        self._last = now
        return not self.patience.is_over


def _held(folder: Path) -> tuple[int, int]:
    """Return how many finished files lie in a folder, and the bytes of all files, those that are still coming too."""
    files = held = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                state = Path(place, name).lstat()
                if stat.S_ISREG(state.st_mode):  # a snapshot's link is no file of its own
                    held += state.st_size
                    files += not name.endswith(".incomplete")
    return files, held


def whole_patience() -> Patience:
    """Return the patience that a process begins with: 30 seconds, or what ``PYTEST_SST2_HUB_PATIENCE`` says."""
    said = os.environ.get(PATIENCE_VARIABLE, "")
    try:
        seconds = float(said) if said else PATIENCE_SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        raise HubError(f"{PATIENCE_VARIABLE} is {said!r}, which is no number of seconds above 0")
    return Patience(seconds, seconds)


def ask(
    question: Question,
    folder: Path,
    patience: Patience,
    environment: Mapping[str, str],
    beat: Callable[[], None] = lambda: None,
) -> Listing:
    """Return what the client's process answers, its download done.

    Args:
        question: What to download.
        folder: The folder of the cache that it fills.
        patience: What may be waited without anything coming.
        environment: What the client is told beside what this process's environment has.
        beat: Called over and over until the answer is there.

    Raises:
        HubError: The Hub refuses or breaks off, or nothing has come for too long, or too much.
    """
    address = environment["HF_ENDPOINT"]
    listed_bytes: int | None = None
    note = ""
    with _started(question, environment) as child:
        child.wait_until_ready(beat)
        watch = patience.watch(folder)
        while True:
            beat()
            said = child.heard()
            note = said.get("note", note)
            listed_bytes = said.get("bytes", listed_bytes)
            if "problem" in said:
                raise HubError(said["problem"])
            if "listing" in said:
                watch.succeed()
                return _listing(said["listing"])
            if not watch.look():
                raise given_up(address, f"nothing more came of {question.repo_id}", patience, note)
            if listed_bytes is not None and watch.came_bytes > listed_bytes + _MOST_TOO_MUCH_BYTES:
                raise HubError(f"{address} sends more of {question.repo_id} than the {listed_bytes:,} bytes it lists")
            if child.memory_bytes() > MOST_MEMORY_BYTES:
                raise HubError(f"{address} answers with more than any listing of {question.repo_id} can hold")


def given_up(address: str, why: str, patience: Patience, note: str = "") -> HubError:
    """Return the clause on a Hub that has used up the patience."""
    told = f" ({note})" if note else ""
    return HubError(
        f"{address} was given up: {why}{told}, and a run waits {patience.whole_seconds:g} s for that in all"
    )


def _listing(said: dict[str, Any]) -> Listing:
    files = {name: ListedFile(**entry) for name, entry in said["files"].items()}
    return Listing(said["commit"], said["revision"], files)


class _Child:
    """A running process and what it says."""

    def __init__(self, process: subprocess.Popen[str], complaints: IO[bytes]) -> None:
        import psutil

        self._process = process
        self._complaints = complaints
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._seen = psutil.Process(process.pid)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        if self._process.stdout is not None:
            with self._process.stdout as lines:
                for line in lines:
                    self._said.put(line)
        self._said.put(None)

    def wait_until_ready(self, beat: Callable[[], None]) -> None:
        """Wait until it asks: what a busy machine takes to start a process is not the Hub's."""
        end = time.monotonic() + _START_SECONDS
        while "ready" not in self.heard():
            beat()
            if time.monotonic() > end:
                raise HubError(f"the process that asks the Hub has not started in {_START_SECONDS:.0f} s")

    def heard(self) -> dict[str, Any]:
        """Wait a moment and return what was said next, empty where nothing was.

        Raises:
            HubError: The process has ended without an answer.
        """
        try:
            line = self._said.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            return {}
        if line is None:
            raise HubError(f"the process that asks the Hub has ended without an answer ({self._last_words()})")
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        # What an interpreter's own start-up prints comes before the child has the stream for itself.
        return said if isinstance(said, dict) else {}

    def _last_words(self) -> str:
        self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"status {self._process.returncode}"

    def memory_bytes(self) -> int:
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(self._seen.memory_info().rss)
        return 0


def _complaints() -> IO[bytes]:
    """Return a new file without a name, for what the process says beside its answers."""
    try:
        return tempfile.TemporaryFile(dir=temporary_folder())
    except OSError as error:
        raise HubError(
            f"no temporary file can be made in {tempfile.gettempdir()} ({error.strerror or error}), which asking the "
            "Hub needs; set TMPDIR to a folder that can be written and has a few MB free"
        ) from error


@contextlib.contextmanager
def _started(question: Question, environment: Mapping[str, str]) -> Iterator[_Child]:
    """Run the client's process with a question for the length of the body."""
    package_root = str(Path(__file__).resolve().parents[2])
    with _complaints() as complaints:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, package_root],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **environment},
            text=True,
            encoding="utf-8",
        )
        try:
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.write(json.dumps(asdict(question)) + "\n")
                    process.stdin.flush()
            yield _Child(process, complaints)
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """End the client's process, if it is still there, with all that it has half written."""
    import psutil

    half: list[Path] = []
    with contextlib.suppress(psutil.Error):
        seen = psutil.Process(process.pid)
        seen.suspend()  # so that none of its threads begins with another file meanwhile
        half = half_files(seen)
    process.kill()
    process.wait()
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    for path in half:
        path.unlink(missing_ok=True)
