"""Run huggingface_hub in a separate process that ``process`` starts and watches, and can kill at any time.

The process reads one request from its standard input, as a line of JSON, and exits when that is closed. It writes
messages to its standard output, one line of JSON each: ``ready``; ``note``, a problem that huggingface_hub logs;
``bytes``, the size of the download if the Hub lists it; finally ``listing`` or ``problem``.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.hub.client import Question, download
from pytest_sst2.hub.errors import HubError

if TYPE_CHECKING:
    import psutil

# huggingface_hub waits as long as the Hub demands, even an hour. A longer pause than this is reported instead.
MAX_PAUSE_SECONDS = 20.0
_PROBLEMS = ("HTTP Error", "Error while downloading", "Still waiting to acquire lock")
_ADDRESS = re.compile(r"(?: from| GET| HEAD)? https?://\S*?(?=:?(?:\s|$))")


def main() -> None:
    """Answer the request on the standard input, or exit if that is closed."""
    import huggingface_hub
    from huggingface_hub import constants

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # other output must not mix with the messages
    lock = threading.Lock()

    def say(kind: str, value: object) -> None:
        with lock:
            answers.write(json.dumps({kind: value}) + "\n")
            answers.flush()

    question = Question(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _refuse_long_pauses(constants.ENDPOINT)
    _write_small_chunks()
    logger = logging.getLogger("huggingface_hub")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Notes(say)]
    logger.propagate = False
    huggingface_hub.get_session()
    _ = huggingface_hub.snapshot_download  # triggers the lazy import
    say("ready", True)
    try:
        say("listing", asdict(download(question, say)))
    except HubError as error:
        say("problem", str(error))
    # Threads of huggingface_hub may still be waiting, and would delay a normal exit.
    os._exit(0)


def _exit_with_parent() -> None:
    """Exit when the parent process closes the standard input."""
    import psutil

    sys.stdin.read()
    for path in half_files(psutil.Process()):
        path.unlink(missing_ok=True)
    os._exit(1)


def half_files(process: psutil.Process) -> list[Path]:
    """Return the unfinished files that a download process has open."""
    import psutil

    try:
        return [Path(file.path) for file in process.open_files() if file.path.endswith(".incomplete")]
    except (psutil.Error, OSError):
        return []  # the process has exited


def _refuse_long_pauses(address: str) -> None:
    """Raise an error instead of a long pause that the Hub demands."""
    pause = time.sleep

    def sleep(seconds: float) -> None:
        if seconds > MAX_PAUSE_SECONDS:
            raise HubError(
                f"the Hub at {address} demands a pause of {seconds:.0f} s, as after too many requests (HTTP 429): run "
                "again after it, or log in with `hf auth login` or set HF_TOKEN for a higher limit"
            )
        pause(seconds)

    time.sleep = sleep  # type: ignore[assignment]


def _write_small_chunks() -> None:
    """Make huggingface_hub write small chunks, because files on disk show the progress of a download."""
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):
        if hasattr(module, "DOWNLOAD_CHUNK_SIZE"):
            module.DOWNLOAD_CHUNK_SIZE = 1 << 16


class _Notes(logging.Handler):
    """Sends the problems that huggingface_hub logs as messages, without long URLs."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().partition("\n")[0]
        if line.startswith(_PROBLEMS) or "thrown while requesting" in line:
            self._say("note", _ADDRESS.sub("", line)[:200])
