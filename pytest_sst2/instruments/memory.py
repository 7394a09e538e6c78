"""Peak memory of this process and of its accelerator."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class PeakMemory:
    """Context manager that measures the highest resident memory of this process, and the memory at its start.

    On Linux the kernel records the peak and can reset it (``/proc/self/clear_refs``, see proc(5)), so no peak is
    missed. Elsewhere, or if that file is not writable, a thread samples the memory every 10 ms.
    """

    _STATUS = Path("/proc/self/status")
    _CLEAR = Path("/proc/self/clear_refs")
    _INTERVAL_SECONDS = 0.01

    def __init__(self) -> None:
        self.start_bytes = 0
        self.peak_bytes = 0
        self._sampler: threading.Thread | None = None
        self._stop = threading.Event()

    def __enter__(self) -> PeakMemory:
        if self._reset_peak():
            self.start_bytes = self._read_peak()
        else:
            self.start_bytes = self._resident()
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._sampler is None:
            # The kernel counts in batches, so its peak can be a few pages below the start.
            self.peak_bytes = max(self.start_bytes, self._read_peak())
        else:
            self._stop.set()
            self._sampler.join()

    def _reset_peak(self) -> bool:
        try:
            self._CLEAR.write_text("5")
            return self._read_peak() > 0
        except OSError:
            return False

    def _read_peak(self) -> int:
        for line in self._STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        return 0

    def _sample(self) -> None:
        stopped = False
        while not stopped:
            stopped = self._stop.wait(self._INTERVAL_SECONDS)
            self.peak_bytes = max(self.peak_bytes, self._resident())

    @staticmethod
    def _resident() -> int:
        import psutil

        return int(psutil.Process(os.getpid()).memory_info().rss)


def reset_device_peak(device: str) -> None:
    """Reset the peak that ``device_peak_bytes`` returns, and free the memory that PyTorch caches."""
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def device_peak_bytes(device: str) -> int | None:
    """Return the highest memory allocated on the device in bytes; None if PyTorch does not count it."""
    import torch

    return torch.cuda.max_memory_allocated() if device == "cuda" else None
