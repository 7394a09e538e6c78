"""Ask git about a folder: never with a prompt, never longer than a timeout, and without a change to the repository."""

from __future__ import annotations

import os
import shutil
import subprocess  # nosec B404
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

_VARIABLES: dict[str, str] = {
    "GIT_OPTIONAL_LOCKS": "0",  # a status must not write the index, which another git may be using
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
# A repository's own settings must not start programs here.
_SETTINGS = ("-c", "core.fsmonitor=false", "-c", "core.pager=cat")


@dataclass(frozen=True)
class Answer:
    """What git printed, and its exit status."""

    status: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        """The output without white space around it; empty if git failed."""
        return self.output.decode(errors="replace").strip() if self.status == 0 else ""


class GitUnavailableError(Exception):
    """git is not installed, cannot be started, or did not answer in time; the message is a clause."""


def git(folder: Path, *arguments: str, timeout: float, without: Collection[str] = ()) -> Answer:
    """Run git in a folder, without some variables of this process.

    Raises:
        GitUnavailableError: There is no answer.
    """
    program = shutil.which("git")
    if program is None:
        raise GitUnavailableError("git is not installed, or not on PATH")
    try:
        done = subprocess.run(  # noqa: S603  # nosec B603 - git, and arguments that are not options
            [program, *_SETTINGS, *arguments],
            cwd=folder,
            env={name: value for name, value in os.environ.items() if name not in without} | _VARIABLES,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise GitUnavailableError(f"git did not answer within {timeout:g} s") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
        raise GitUnavailableError(f"git cannot be started: {getattr(error, 'strerror', None) or error}") from error
    return Answer(done.returncode, done.stdout, done.stderr.decode(errors="replace").strip())
