"""Keep freed memory in glibc's heap during training, and pause the garbage collector during imports."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

# From glibc's malloc.h; see mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**30
# glibc's own upper limits for a process that frees large blocks. They are restored afterwards.
_USUAL_MMAP_BYTES, _USUAL_TRIM_BYTES = 2**25, 2**26
# Variables by which a user configures malloc. If one is set, nothing is changed.
_VARIABLES = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in the process during the body, and return it to the system afterwards.

    Every training step frees and allocates gradients and activations of megabytes. glibc returns such blocks to the
    system, and the kernel zeroes their pages again. Matrix products that write to them then take up to twice as long
    (docs/performance.md). Do nothing without glibc, or if an environment variable configures malloc.
    """
    library = _glibc()
    if library is None:
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _KEEP_BYTES)
    library.mallopt(_TRIM_THRESHOLD, _KEEP_BYTES)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _USUAL_MMAP_BYTES)
        library.mallopt(_TRIM_THRESHOLD, _USUAL_TRIM_BYTES)
        library.malloc_trim(0)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector during the body. Heavy imports create a million objects that stay (0.5 s of 7 s)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _glibc() -> Any:
    """Return the C library if it is glibc and no variable configures its malloc, else None."""
    if sys.platform != "linux" or any(os.environ.get(name) for name in _VARIABLES):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
