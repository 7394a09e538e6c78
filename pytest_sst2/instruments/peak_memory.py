"""Peak memory: the most that this process had while a body ran."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class PeakMemory:
    """Measures the highest resident memory of this process while it is open, and what it was at the start.

    On Linux the kernel keeps that mark and can be told to start anew (``/proc/self/clear_refs``, see proc(5)), which
    misses nothing. Elsewhere, or where that file may not be written, a thread looks every 10 ms.
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
        if self._reset_mark():
            self.start_bytes = self._read_mark()
        else:
            self.start_bytes = self._resident()
            self._sampler = threading.Thread(target=self._sample, daemon=True)
            self._sampler.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._sampler is None:
            # The kernel counts in batches: the mark can lag a few pages behind where it began.
            self.peak_bytes = max(self.start_bytes, self._read_mark())
        else:
            self._stop.set()
            self._sampler.join()

    def _reset_mark(self) -> bool:
        try:
            self._CLEAR.write_text("5")
            return self._read_mark() > 0
        except OSError:
            return False

    def _read_mark(self) -> int:
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
