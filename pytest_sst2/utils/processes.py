"""The share of cores and GPUs of a pytest-xdist worker, and the command of a child. Loads neither torch nor numpy."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

# The thread pools of torch, numpy, scipy and scikit-learn read these when they are created.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"
_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); import pytest_sst2; del sys.path[0]; "
    "from {module} import main; main(*sys.argv[2:])"
)
# The variables that this process set itself.
_set_here: set[str] = set()


def command_of(module: str) -> list[str]:
    """Return the command that runs ``main`` of a module of this package in a new interpreter, with further arguments.

    The current folder is not on its sys.path, because a file there could shadow a library's module.
    """
    return [sys.executable, "-P", "-c", _MAIN.format(module=module), str(Path(__file__).resolve().parents[2])]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def xdist_workers() -> int:
    """Return the number of pytest-xdist workers; 1 without pytest-xdist, or if the variable is not a number."""
    count = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
    return max(1, int(count)) if re.fullmatch("[0-9]{1,9}", count) else 1


def was_set_here(variable: str) -> bool:
    """Return whether this process set an environment variable to its share of the cores."""
    return variable in _set_here


def take_share(*, exclusive: bool = False) -> None:
    """Give a pytest-xdist worker its share of the cores, and one GPU if there are several.

    If every worker used all cores, their threads would slow each other down. Call this before torch is loaded, because
    thread pools are created with their libraries. The user's own settings stay. ``exclusive`` cells use all cores.
    """
    if xdist_workers() == 1:
        return
    if not exclusive:
        limit_threads(max(1, cores() // xdist_workers()))
    # Workers of --tx can have other names, which have no number.
    if (number := os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")).isdigit():
        _take_gpu(int(number))


def limit_threads(threads: int, *, owned: bool = False) -> None:
    """Set the size of every thread pool of this process, unless the user has set one.

    If an engine assigned its cores, the process is ``owned``: variables that are set are then the engine's.
    """
    if not owned and any(name in os.environ and name not in _set_here for name in THREAD_VARIABLES):
        return
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    _set_here.update(THREAD_VARIABLES)
    # A conftest may have loaded them already.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "numpy" in sys.modules:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=threads)


def _take_gpu(number: int) -> None:
    """Make one GPU visible: a training would use all visible ones, and every worker the first."""
    import torch

    # This asks the driver: CUDA must not be initialised before the variable is set.
    count = torch.cuda.device_count()
    if count < 2 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    given = os.environ.get(_DEVICES, "")
    names = [name.strip() for name in given.split(",") if name.strip()] or [str(index) for index in range(count)]
    os.environ[_DEVICES] = names[number % count]
