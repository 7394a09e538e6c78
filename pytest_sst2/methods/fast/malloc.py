"""Memory: what is freed kept for the work that needs it again, and no search for garbage where there is none."""

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
# What glibc's own adjustment goes up to in a process that frees large blocks: the state that is left behind.
_USUAL_MMAP_BYTES, _USUAL_TRIM_BYTES = 2**25, 2**26
# The user's own choice, which is not to be overruled.
_VARIABLES = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_")


@contextlib.contextmanager
def kept_heap() -> Iterator[None]:
    """In the body, keep what is freed with the process; afterwards give it back to the system.

    Gradients and activations of megabytes are freed and allocated again in every step. glibc returns such blocks to the
    system and has the kernel zero their pages anew: matrix products that write them take up to twice as long
    (docs/performance.md). Nothing is done without glibc, or where the user has set its malloc up by environment
    variables.
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
    """In the body, do not look for garbage: heavy imports make a million objects that all stay (0.5 s of 7 s)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _glibc() -> Any:
    """Return the C library where it is glibc and nobody has set its malloc up, else None."""
    if sys.platform != "linux" or any(os.environ.get(name) for name in _VARIABLES):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
