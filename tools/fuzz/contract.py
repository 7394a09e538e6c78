"""What every reader promises of every input: a valid result, or one sentence for the person at the terminal."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.sanitize import one_line

# A sentence with a file's name, what was found in it and a way on; a longer one is a file poured into a terminal.
LONGEST_SENTENCE = 2200
# Where scratch folders are made: libFuzzer ends its process before that could remove its own.
SCRATCH_VARIABLE = "SST2_FUZZ_SCRATCH"


@dataclass(frozen=True)
class Target:
    """One reader under fuzzing.

    Attributes:
        name: As it is named on the command line and in the table of figures.
        read: Reads one input and checks the result; ``BrokenPromiseError`` where that is not valid.
        seeds: Inputs to begin with: small files of our own that are valid, or nearly.
        words: What is put into inputs as a whole: the format's words, and numbers and texts that break readers.
        longest: Bytes of the longest input that the fuzzer makes.
        build: Makes of the fuzzer's bytes what is read, where those are a script of damage (see ``damage``).
    """

    name: str
    read: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    words: Sequence[bytes] = ()
    longest: int = 4096
    build: Callable[[bytes], bytes] = bytes


class BrokenPromiseError(AssertionError):
    """A reader took something for valid that is not."""


def obey(target: Target, data: bytes) -> str:
    """Have a reader read one file or text, and return the sentence that refuses it; empty where it is read.

    Raises:
        BrokenPromiseError: The result or the sentence is not what was promised.
        Exception: Whatever else the reader raised, which it must not.
    """
    try:
        target.read(data)
    except Sst2Error as error:
        return checked_sentence(str(error))
    return ""


def checked_sentence(text: str) -> str:
    """Return a sentence as it is; refuse one that is none, or that could do something to a terminal."""
    require(bool(text.strip()), "the sentence is empty")
    require(one_line(text) == text, f"the sentence has characters that are no text: {text!r}")
    require(len(text) <= LONGEST_SENTENCE, f"the sentence has {len(text)} characters: {text[:200]!r}")
    return text


def require(held: bool, what: str) -> None:
    """Raise ``BrokenPromiseError`` unless what was promised is held."""
    if not held:
        raise BrokenPromiseError(what)


class Scratch:
    """A folder for the inputs of one process, made when the first is written."""

    def __init__(self) -> None:
        self._made: tempfile.TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """The folder."""
        if self._made is None:
            self._made = tempfile.TemporaryDirectory(prefix="sst2-fuzz-", dir=os.environ.get(SCRATCH_VARIABLE))
        return Path(self._made.name)

    def write(self, name: str, data: bytes) -> Path:
        """Write one input and return its path."""
        path = self.folder / name
        path.write_bytes(data)
        return path


SCRATCH = Scratch()
