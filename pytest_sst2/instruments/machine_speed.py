"""The machine's own speed: what a fixed piece of work, one GFLOP, takes here and now.

Times are compared in this unit, so that a slower machine, or the same one in a busy hour, is not a slower library. The
work is matrix products in numpy: what encoders spend their time on, but done by none of the libraries whose upgrades
are to be judged. (Were it done in torch, a torch that became slower would slow the unit with it.)
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from pytest_sst2.instruments.devices import synchronizer

# One repetition is 0.3 GFLOP, a few milliseconds; the median of all forgives single interruptions.
_ROWS, _INNER, _COLUMNS = 256, 384, 1536
_REPETITIONS = 11
_GFLOP = 2 * _ROWS * _INNER * _COLUMNS / 1e9


def machine_seconds(device: str, threads: int) -> float:
    """Return the seconds that one GFLOP of the fixed work takes: 0.01 is 100 GFLOP/s.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``; on an accelerator the work is done there, in float32.
        threads: How many threads the cells have, and so the work.
    """
    return _on_cpu(threads) if device == "cpu" else _on_accelerator(device)


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
    scale = 128  # a GPU does one repetition of the CPU's before it is warm
    left = torch.full((scale * _ROWS, _INNER), 0.5, device=device)
    right = torch.full((_INNER, _COLUMNS), 0.25, device=device)

    def work() -> None:
        torch.matmul(left, right)
        synchronize()

    work()
    return statistics.median(_timed(work) for _ in range(_REPETITIONS)) / (scale * _GFLOP)


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
