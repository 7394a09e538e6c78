"""The process in which the Hub's client works; ``hub_process`` starts and watches it, and may end it at any moment.

It reads one question from its standard input, a line of JSON, and ends when that is closed. On its standard output it
says, a line of JSON each: ``ready``; ``note``, what troubles the client; ``bytes``, how many belong to the download,
where the Hub lists sizes; at last ``listing`` or ``problem``.
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

# The client waits as long as the Hub asks it to, be it an hour. More than this is an answer, and not a pause.
LONGEST_PAUSE_SECONDS = 20.0
_TROUBLES = ("HTTP Error", "Error while downloading", "Still waiting to acquire lock")
_ADDRESS = re.compile(r"(?: from| GET| HEAD)? https?://\S*?(?=:?(?:\s|$))")


def main() -> None:
    """Answer the question on the standard input, or end where that is closed."""
    import huggingface_hub
    from huggingface_hub import constants

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever else prints here is no answer
    speaking = threading.Lock()

    def say(kind: str, value: object) -> None:
        with speaking:
            answers.write(json.dumps({kind: value}) + "\n")
            answers.flush()

    question = Question(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_asker, daemon=True).start()
    _refuse_long_pauses(constants.ENDPOINT)
    _write_small_chunks()
    logger = logging.getLogger("huggingface_hub")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Notes(say)]
    logger.propagate = False
    huggingface_hub.get_session()
    _ = huggingface_hub.snapshot_download  # is imported by being named
    say("ready", True)
    try:
        say("listing", asdict(download(question, say)))
    except HubError as error:
        say("problem", str(error))
    # The client's threads may still be waiting for something, and would be waited for.
    os._exit(0)


def _end_with_the_asker() -> None:
    """End this process when the one that asked is no more."""
    import psutil

    sys.stdin.read()
    for path in half_files(psutil.Process()):
        path.unlink(missing_ok=True)
    os._exit(1)


def half_files(process: psutil.Process) -> list[Path]:
    """Return the files that a client's process has begun to write and not finished."""
    import psutil

    try:
        return [Path(file.path) for file in process.open_files() if file.path.endswith(".incomplete")]
    except (psutil.Error, OSError):
        return []  # it has ended


def _refuse_long_pauses(address: str) -> None:
    """Turn a wait that the Hub asks the client for into an answer, where it is a long one."""
    pause = time.sleep

    def sleep(seconds: float) -> None:
        if seconds > LONGEST_PAUSE_SECONDS:
            raise HubError(
                f"the Hub at {address} asks for a pause of {seconds:.0f} s, as after too many requests (HTTP 429): run "
                "again after that, or log in with `hf auth login` or set HF_TOKEN to be allowed more"
            )
        pause(seconds)

    time.sleep = sleep  # type: ignore[assignment]


def _write_small_chunks() -> None:
    """Have the client write what comes as it comes: how a download goes is seen by what is on the disk."""
    from huggingface_hub import constants, file_download

    for module in (constants, file_download):
        if hasattr(module, "DOWNLOAD_CHUNK_SIZE"):
            module.DOWNLOAD_CHUNK_SIZE = 1 << 16


class _Notes(logging.Handler):
    """Passes on what the client says about its troubles, without the long addresses."""

    def __init__(self, say: Callable[[str, object], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage().partition("\n")[0]
        if line.startswith(_TROUBLES) or "thrown while requesting" in line:
            self._say("note", _ADDRESS.sub("", line)[:200])
