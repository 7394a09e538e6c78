"""Start pytest in processes that fork with the heavy libraries loaded, which saves seconds per run."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.conftest import HEAVY

_CONTEXT = multiprocessing.get_context("forkserver")
_PRELOADED = (
    *HEAVY,
    "pytest_benchmark.plugin",
    "pytest_sst2.plugin",
    "tests.support.forked_pytest",
)


def start(folder: Path, arguments: Sequence[str], *, killed_at_write: int = 0) -> BaseProcess:
    """Start ``pytest ARGUMENTS`` in a folder and append its output to the file ``output`` there.

    The process can be killed: no other process does any of its work.

    Args:
        folder: The working folder.
        arguments: The arguments of pytest.
        killed_at_write: The number of the write at which the process is killed, before the file is renamed; 0 for none.
    """
    _CONTEXT.set_forkserver_preload(list(_PRELOADED))
    run = _CONTEXT.Process(target=_pytest, args=(str(folder), list(arguments), killed_at_write))
    run.start()
    return run


def _pytest(folder: str, arguments: list[str], killed_at_write: int) -> None:
    import pytest
    import torch

    from pytest_sst2.instruments import machine_speed

    os.chdir(folder)
    with open("output", "ab", buffering=0) as output:  # noqa: PTH123
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    torch.set_num_threads(1)
    machine_speed._REPETITIONS = 1
    _kill_at_write(killed_at_write)
    status = pytest.main(["-q", "-p", "no:cacheprovider", *arguments])
    sys.stdout.flush()
    os._exit(int(status))


def _kill_at_write(number: int) -> None:
    left, real = itertools.count(number - 1, -1), os.fsync

    def fsync(handle: int) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        real(handle)

    os.fsync = fsync
