"""Load an unknown model in a child process first, under bounds of time and memory.

A config, a tokenizer or the shape of a tensor can ask for any amount of work, and no list of settings is complete. The
libraries do much of it without a chance to interrupt them, so only another process can end it. Models of the catalogue
are known. Of other models the same files are tried once per machine and set of libraries: the cache notes the success.

On Linux the child is a fork, which costs no imports. A fork of a process with threads can hang or crash, so a failure
there only counts if a new interpreter confirms it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import math
import multiprocessing
import os
import signal
import string
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.cache_dir import LOADED, cache_folder
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import duration
from pytest_sst2.utils.hashing import sha256_digest
from pytest_sst2.utils.locks import one_at_a_time
from pytest_sst2.utils.processes import command_of

if TYPE_CHECKING:
    from pytest_sst2.models.locate import LocatedModel

SECONDS_VARIABLE, GIGABYTES_VARIABLE = "PYTEST_SST2_LOAD_SECONDS", "PYTEST_SST2_LOAD_GB"
# The child loads the model up to three times, and runs it on a few sentences.
_SECONDS, _BYTES_PER_SECOND = 30.0, 10_000_000
_GIGABYTES, _COPIES = 3.0, 8
# A new interpreter also imports the libraries, which can take a minute from a network disk.
_IMPORT_SECONDS, _IMPORT_GIGABYTES = 90.0, 1.5
_POLL_SECONDS = 0.02
# Part of every digest: increase it if the child tries other things.
_FORMAT = 1
_LIBRARIES = ("torch", "transformers", "tokenizers", "sentence-transformers")
_ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "", "TOKENIZERS_PARALLELISM": "false"}
_ADVICE = (
    "Its config, tokenizer and weights do not belong together, or ask for too much on purpose. Use another checkpoint; "
    "if this one is sound, set the variable to a higher number."
)
# What went wrong with a model in this process, by its marker; empty if nothing did.
_problems: dict[Path, str] = {}


def try_to_load(located: LocatedModel) -> None:
    """Load a model in a child process, unless the cache notes an earlier success or the bounds are 0.

    Raises:
        Sst2Error: Loading takes too long or too much memory, or crashes; or a bound is not a number.
    """
    size = sum(path.stat().st_size for path in located.all_weight_files)
    seconds = _bound(SECONDS_VARIABLE, _SECONDS + size / _BYTES_PER_SECOND)
    gigabytes = _bound(GIGABYTES_VARIABLE, _GIGABYTES + _COPIES * size / 1e9)
    marker = _marker(located)
    if marker is None or math.isinf(max(seconds, gigabytes)):
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(Sst2Error):  # without locks, each process tries the model
            stack.enter_context(one_at_a_time(marker))
        if not (marker in _problems or marker.exists()):
            _problems[marker] = _problem(located, seconds, gigabytes)
            if not _problems[marker]:
                with contextlib.suppress(Sst2Error):  # a cache that cannot be written: tried again in the next run
                    write_atomically(marker, b"")
    if problem := _problems.get(marker):
        raise Sst2Error(f"model {located.spec.name!r}: loading it and embedding a few sentences {problem}. {_ADVICE}")


def _bound(variable: str, default: float) -> float:
    """Return a bound, infinite if the variable sets it to 0."""
    text = os.environ.get(variable, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise Sst2Error(f"{variable} is {text!r}, but must be a number; 0 loads models without a trial.")
    return value or math.inf


def _marker(located: LocatedModel) -> Path | None:
    """Return the file that notes the success of these files with these libraries; None without a cache."""
    with contextlib.suppress(Sst2Error, metadata.PackageNotFoundError):
        versions = [metadata.version(name) for name in _LIBRARIES]
        return cache_folder() / LOADED / sha256_digest(json.dumps([_FORMAT, versions, dict(located.contents)]))
    return None


def _problem(located: LocatedModel, seconds: float, gigabytes: float) -> str:
    """Return the error of the child process; empty without an error, or if the process could not be started."""
    folder = str(located.folder.absolute())
    if sys.platform == "linux" and (not (problem := _in_fork(folder, seconds, gigabytes)) or "memory" in problem):
        return problem
    return _in_interpreter(folder, seconds + _IMPORT_SECONDS, gigabytes + _IMPORT_GIGABYTES)


def _in_fork(folder: str, seconds: float, gigabytes: float) -> str:
    import psutil

    # Before the fork, because this process needs them too.
    for name in ("AutoModel", "AutoTokenizer"):
        getattr(importlib.import_module("transformers"), name)
    if (Path(folder) / "modules.json").is_file():
        importlib.import_module("sentence_transformers")
    gigabytes += psutil.Process().memory_info().rss / 1e9  # a fork shares the memory of this process
    child = multiprocessing.get_context("fork").Process(target=_load_in_fork, args=(folder, seconds), daemon=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about threads
            child.start()
    except (OSError, AssertionError):  # no memory for a process, or this process may have no children
        return "not started"

    def wait() -> int | None:
        child.join(_POLL_SECONDS)
        return child.exitcode

    try:
        return _watch(wait, child.pid or 0, seconds, gigabytes)
    finally:
        child.kill()
        child.join()


def _load_in_fork(folder: str, seconds: float) -> None:
    import torch

    faulthandler.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.environ |= _ENVIRONMENT
    torch.set_num_threads(1)  # the threads of the parent do not exist here
    main(folder, str(seconds))
    os._exit(0)


def _in_interpreter(folder: str, seconds: float, gigabytes: float) -> str:
    try:
        child = subprocess.Popen(  # noqa: S603 - it runs main() of this module
            [*command_of("pytest_sst2.models.trial_load"), folder, str(seconds)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT},
        )
    except OSError:
        return ""

    def wait() -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(_POLL_SECONDS)
        return None

    try:
        return _watch(wait, child.pid, seconds, gigabytes)
    finally:
        child.kill()
        child.wait()


def _watch(wait: Callable[[], int | None], pid: int, seconds: float, gigabytes: float) -> str:
    """Wait for a child process; return which bound it exceeded or which signal ended it, empty if none.

    Args:
        wait: Waits briefly and returns the exit status; negative for a signal, None if the process still runs.
        pid: The process.
        seconds: Maximum time.
        gigabytes: Maximum resident memory.
    """
    import psutil

    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (status := wait()) is not None:
            return f"ended the process that tried it with signal {-status}" if status < 0 else ""
        with contextlib.suppress(psutil.Error):
            if psutil.Process(pid).memory_info().rss > gigabytes * 1e9:
                return f"took more than {gigabytes:.1f} GB of memory ({GIGABYTES_VARIABLE})"
    return f"took longer than {duration(seconds)} ({SECONDS_VARIABLE})"


def main(folder: str, seconds: str) -> None:
    """Run the child process: load the model as the methods do, and embed some texts.

    Errors are ignored, because the load in the parent reports them.
    """
    from pytest_sst2.config.specs import ModelSpec
    from pytest_sst2.models.loader import ModelLoader
    from pytest_sst2.models.locate import LocatedModel
    from pytest_sst2.results.probe_sentences import probe_sentences
    from pytest_sst2.results.record import Weights

    if hasattr(signal, "alarm"):  # ends this process even if the parent was killed
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(math.ceil(min(float(seconds), 1e6)) + 1)
    spec = ModelSpec("tried", folder=Path(folder))
    located = LocatedModel(spec, Path(folder), Weights("", "folder", "", "", ""))
    loader = ModelLoader()
    loader.adopt(spec, located)
    letters = string.printable
    _attempt(lambda: loader.check_encoders(located))
    _attempt(lambda: loader.tokenizer(spec)([*probe_sentences(), " ".join(probe_sentences()), letters]))
    _attempt(lambda: loader.sequence_classifier(spec))
    if (Path(folder) / "modules.json").is_file():
        _attempt(lambda: loader.sentence_encoder(spec).encode([letters], show_progress_bar=False))


def _attempt(call: Callable[[], Any]) -> None:
    with contextlib.suppress(BaseException):  # a panic in Rust is not an Exception
        call()
