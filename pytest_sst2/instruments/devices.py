"""What is asked of a device of torch: to finish the work in its queue, and the most memory it had."""

from __future__ import annotations

from collections.abc import Callable


def synchronizer(device: str) -> Callable[[], None]:
    """Return what waits until the device has done all work queued on it; on the CPU nothing is queued.

    Args:
        device: ``cpu``, ``cuda`` or ``mps``.
    """
    import torch

    return {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(device, lambda: None)


def reset_device_peak(device: str) -> None:
    """Begin to count anew what ``device_peak_bytes`` returns, without the memory that is kept for later use."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def device_peak_bytes(device: str) -> int | None:
    """Return the most bytes of the device's own memory that were in use at once, None where it does not count them."""
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else None
