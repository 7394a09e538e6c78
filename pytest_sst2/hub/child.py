"""The child process of a download: its start, its messages, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from pytest_sst2.hub.cache import cache_folder, endpoint
from pytest_sst2.hub.errors import HubError
from pytest_sst2.hub.worker import Request

_EXIT_SECONDS = 2.0
# -P and this start keep the current folder out of sys.path, because a file there could shadow a library's module.
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); import pytest_sst2; del sys.path[0]; "
    "from pytest_sst2.hub.worker import main; main()"
)


class Child:
    """A process that downloads one repository with ``hub.worker``; it ends with the context."""

    def __init__(self, request: Request) -> None:
        own = {"HF_ENDPOINT": endpoint(), "HF_HUB_CACHE": str(cache_folder()), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        own["HF_HUB_DISABLE_TELEMETRY"] = "1"  # hf_xet would report each download to the Hub
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(Path(__file__).resolve().parents[2])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **own, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._last_words = ""
        threading.Thread(target=self._read, daemon=True).start()
        self._stdin = self._process.stdin
        with contextlib.suppress(OSError):  # it ended already, which next_message reports
            print(json.dumps(asdict(request)), file=self._stdin, flush=True)

    def _read(self) -> None:
        with self._process.stdout or contextlib.nullcontext(()) as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def next_message(self, seconds: float) -> dict[str, Any]:
        """Wait some seconds and return the next message, empty if there is none.

        Raises:
            HubError: The process ended without an answer.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            return {}
        if not line:
            reason = self._last_words or f"exit status {self._process.wait()}"
            raise HubError(f"the download process ended without an answer ({reason})")
        with contextlib.suppress(ValueError):
            message = json.loads(line)
            return message if isinstance(message, dict) else {}
        self._last_words = line.strip() or self._last_words  # of a library, or of an interpreter that starts
        return {}

    def memory_bytes(self) -> int:
        """Return the resident memory of the process."""
        import psutil

        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self._stdin is not None:
                self._stdin.close()  # the process removes its unfinished files and exits
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_EXIT_SECONDS)
        self._process.kill()
        self._process.wait()
