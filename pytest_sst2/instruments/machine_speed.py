"""Machine speed: the seconds that one GFLOP of fixed work takes on this machine at this moment.

Times are compared in this unit. A slower or busier machine therefore does not look like a slower library. The work is
matrix products in NumPy: encoders spend their time on them, but NumPy is none of the libraries under test. In PyTorch,
a release that became slower would also slow the unit.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np

from pytest_sst2.utils.clock import CLOCK

# One repetition is 0.3 GFLOP, a few milliseconds. The median is robust to single interruptions.
_ROWS, _INNER, _COLUMNS = 256, 384, 1536
_REPETITIONS = 11
_GFLOP = 2 * _ROWS * _INNER * _COLUMNS / 1e9


def machine_seconds(device: str, threads: int) -> float:
    """Return the seconds per GFLOP of the fixed work, on as many threads as the cells use: 0.01 is 100 GFLOP/s."""
    return _on_cpu(threads) if device == "cpu" else _on_accelerator(device)


def synchronizer(device: str) -> Callable[[], None]:
    """Return a function that waits until the device has finished its queued work; on a CPU it returns at once."""
    import torch

    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)


def _on_cpu(threads: int) -> float:
    import threadpoolctl

    left = np.full((_ROWS, _INNER), 0.5, dtype=np.float32)
    right = np.full((_INNER, _COLUMNS), 0.25, dtype=np.float32)
    out = np.empty((_ROWS, _COLUMNS), dtype=np.float32)
    with threadpoolctl.threadpool_limits(limits=threads, user_api="blas"):
        np.matmul(left, right, out=out)
        return statistics.median(_timed(lambda: np.matmul(left, right, out=out)) for _ in range(_REPETITIONS)) / _GFLOP


def _on_accelerator(device: str) -> float:
    import torch

    synchronize = synchronizer(device)
    scale = 128  # one repetition of the CPU's work ends before a GPU reaches its clock rate
    left = torch.full((scale * _ROWS, _INNER), 0.5, device=device)
    right = torch.full((_INNER, _COLUMNS), 0.25, device=device)

    def work() -> None:
        torch.matmul(left, right)
        synchronize()

    work()
    return statistics.median(_timed(work) for _ in range(_REPETITIONS)) / (scale * _GFLOP)


def _timed(work: Callable[[], object]) -> float:
    start = CLOCK.seconds()
    work()
    return CLOCK.seconds() - start
