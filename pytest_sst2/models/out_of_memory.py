"""Recognition of out-of-memory errors, and release of the memory that their tracebacks hold. Loads no library."""

from __future__ import annotations

import errno
import gc
import re
import sys
import traceback
from collections.abc import Iterator

# Messages without an exception class: of torch and its memory maps, Rust, Apple's GPU, and NVIDIA's libraries.
_HOST_MESSAGES = ("DefaultCPUAllocator: ", "Cannot allocate memory")
_ACCELERATOR_MESSAGES = (
    *("CUDA out of memory", "MPS backend out of memory"),
    *("_STATUS_ALLOC_FAILED", "CUDA error: out of"),
)
_SIZE = re.compile(r"(?:allocate|mmap) ([0-9.,]+) ?(bytes|[KMGT]i?B)\b")
_UNITS = ("bytes", "KB", "MB", "GB", "TB", "PB")
_STEP = 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error or one of its causes is out-of-memory, on host or accelerator."""
    return any(_is_host_full(link) or _is_accelerator_full(link) for link in _causes(error))


def is_accelerator_full(error: BaseException) -> bool:
    """Return whether the error or one of its causes is out-of-memory on an accelerator."""
    return any(map(_is_accelerator_full, _causes(error)))


def failed_allocation(error: BaseException) -> str:
    """Return the size of the failed allocation, for example ``3.7 GB``; empty if the error does not contain it."""
    for link in _causes(error):
        if match := _SIZE.search(str(link)):
            amount = float(match[1].replace(",", ""))
            if match[2] != "bytes":
                return f"{amount:.1f} {match[2][0]}B"
            unit = 0
            while amount >= _STEP and unit < len(_UNITS) - 1:
                amount, unit = amount / _STEP, unit + 1
            return f"{amount:.1f} {_UNITS[unit]}"
    return ""


def release_memory(error: BaseException) -> None:
    """Free the models, gradients and activations that the frames of an error's traceback hold.

    The traceback keeps its lines, but the frames lose their variables.
    """
    for link in _causes(error):
        traceback.clear_frames(link.__traceback__)
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _is_host_full(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return any(message in str(error) for message in _HOST_MESSAGES)


def _is_accelerator_full(error: BaseException) -> bool:
    # torch.OutOfMemoryError was torch.cuda.OutOfMemoryError before 2.5.
    if any(kind.__name__ == "OutOfMemoryError" and kind.__module__.startswith("torch") for kind in type(error).__mro__):
        return True
    return any(message in str(error) for message in _ACCELERATOR_MESSAGES)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, its cause or context, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
