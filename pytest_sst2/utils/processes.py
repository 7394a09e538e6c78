"""Workers: which of several processes this one is, and its share of the machine. Loads neither torch nor numpy.

pytest-xdist tells its workers in their environment who they are.
"""

from __future__ import annotations

import os
import sys

# What the thread pools of torch, numpy, scipy and scikit-learn ask for when they are made.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_DEVICES = "CUDA_VISIBLE_DEVICES"
# Those that this process was given by us, and not by whoever started it.
_set_here: set[str] = set()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def xdist_workers() -> int:
    """Return how many pytest-xdist workers run at once; 1 without pytest-xdist, or if the variable has no number."""
    count = os.environ.get("PYTEST_XDIST_WORKER_COUNT", "")
    return max(1, int(count)) if count.isascii() and count.isdigit() else 1


def was_set_here(variable: str) -> bool:
    """Tell whether an environment variable holds what this process was given as its share."""
    return variable in _set_here


def take_share(*, exclusive: bool = False) -> None:
    """Give an xdist worker its share of the cores, and one of the GPUs where there are several.

    With all of the cores each, the workers' threads fight and crawl. To be called before torch is loaded: thread pools
    are made when their libraries are. What the user has set himself stays.

    Args:
        exclusive: Whether cells are measured one at a time: then each has all of the cores.
    """
    if xdist_workers() == 1:
        return
    if not exclusive:
        limit_threads(max(1, cores() // xdist_workers()))
    # Workers of --tx may have been given names, which say nothing of a place.
    if (number := os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")).isdigit():
        _take_gpu(int(number))


def limit_threads(threads: int, *, owned: bool = False) -> None:
    """Have every thread pool of this process be of one size, where the user has not set one himself.

    Args:
        threads: The size.
        owned: Whether an engine has given this process so many cores: what the environment says is then the engine's.
    """
    if not owned and any(name in os.environ and name not in _set_here for name in THREAD_VARIABLES):
        return
    os.environ |= dict.fromkeys(THREAD_VARIABLES, str(threads))
    _set_here.update(THREAD_VARIABLES)
    # Somebody else's conftest may have loaded them already.
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    if "numpy" in sys.modules:
        import threadpoolctl

        threadpoolctl.threadpool_limits(limits=threads)


def _take_gpu(number: int) -> None:
    """Let this process see one GPU of several: a training would spread over all it sees, and all over the first."""
    import torch

    # Asked of the driver's library: CUDA itself must not be started before the variable is set.
    count = torch.cuda.device_count()
    if count < 2 or torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return
    given = os.environ.get(_DEVICES, "")
    names = [name.strip() for name in given.split(",") if name.strip()] or [str(index) for index in range(count)]
    os.environ[_DEVICES] = names[number % count]
