"""Run a download in a child process, and end it if nothing arrives."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pytest_sst2.hub.cache import cache_folder, endpoint, locks_folder
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request
from pytest_sst2.utils.processes import command_of

IDLE_VARIABLE = "PYTEST_SST2_HUB_PATIENCE"
POLL_SECONDS = 0.2
START_SECONDS = 120.0
_EXIT_SECONDS = 2.0


class Child:
    """A process that downloads one repository with ``hub.worker``. It ends with the context.

    ``said`` has its last message of each kind.
    """

    def __init__(self, request: Request) -> None:
        own = {"HF_ENDPOINT": endpoint(), "HF_HUB_CACHE": str(cache_folder()), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        own["HF_HUB_DISABLE_TELEMETRY"] = "1"  # hf_xet would report each download to the Hub
        self.said: dict[str, Any] = {}
        self._last_line = ""
        self._process = subprocess.Popen(
            command_of("pytest_sst2.hub.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        with contextlib.suppress(OSError):  # it ended already, which ``answer`` reports
            print(json.dumps(asdict(request)), file=self._process.stdin, flush=True)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            message: object = None
            with contextlib.suppress(ValueError):
                message = json.loads(line)
            if isinstance(message, dict):
                self.said |= message
            else:  # of a library, or of an interpreter that starts
                self._last_line = line.strip() or self._last_line

    def is_running(self) -> bool:
        """Return whether the process runs, after a short wait."""
        self._reader.join(POLL_SECONDS)
        return self._reader.is_alive()

    @property
    def answer(self) -> Path:
        """The folder that an ended process downloaded; raises a HubError if it did not."""
        if "folder" in self.said:
            return Path(self.said["folder"])
        ended = self._last_line or f"exit status {self._process.wait()}"
        raise HubError(self.said.get("problem") or f"the download process ended without an answer ({ended})")

    @property
    def memory_bytes(self) -> int:
        """The resident memory of the process."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            if self._process.stdin is not None:
                self._process.stdin.close()  # the process removes its unfinished files and exits
            self._process.wait(_EXIT_SECONDS)
        self._process.kill()
        self._process.wait()


class Watch:
    """Measures how many bytes arrived in a repository's folder and the shared blobs, and for how long none did.

    hf_xet keeps up to 64 MB in memory before it writes them. Meanwhile, the worker touches the folder of locks.
    """

    def __init__(self, repository: Path) -> None:
        self._folders = (repository, repository.parent / "blobs")
        self._locks = locks_folder(repository)
        self.patience = idle_seconds()
        self._seen = self._look()
        self._first = self._seen[0]
        self.extend(0)

    @property
    def arrived_bytes(self) -> int:
        """Bytes that arrived since the first look."""
        return max(0, self._seen[0] - self._first)

    def extend(self, seconds: float) -> None:
        """Allow a pause of some seconds."""
        self._deadline = time.monotonic() + seconds + self.patience

    def is_idle(self) -> bool:
        """Return whether nothing arrived for too long."""
        if (seen := self._look()) != self._seen:
            self._seen = seen
            self.extend(0)
        return time.monotonic() > self._deadline

    def _look(self) -> tuple[int, int]:
        size, touched = 0, 0
        with contextlib.suppress(OSError):
            touched = self._locks.stat().st_mtime_ns
        for place, _, names in (entry for folder in self._folders for entry in os.walk(folder)):
            for name in names:
                with contextlib.suppress(OSError):
                    size += Path(place, name).lstat().st_size
        return size, touched


def idle_seconds() -> float:
    """Return how long a download may bring nothing: 30 s, or the value of ``PYTEST_SST2_HUB_PATIENCE``."""
    text = os.environ.get(IDLE_VARIABLE) or "30"
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text) or not float(text):
        raise HubError(f"{IDLE_VARIABLE} is {text!r}, but must be a number of seconds above 0")
    return float(text)
