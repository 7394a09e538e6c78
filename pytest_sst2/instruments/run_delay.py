"""Run delay: the seconds that this process's threads waited for a free core, which other programs took."""

from __future__ import annotations

from pathlib import Path

_THREADS = Path("/proc/self/task")
_NANOSECONDS = 1e9


def run_delay() -> float | None:
    """Return the seconds since the start in which a thread could run and no core was free, summed over the threads.

    It is the second number of Linux's ``schedstat`` (Documentation/scheduler/sched-stats). Threads that have ended are
    not counted. None if the system does not count it.
    """
    try:
        threads = list(_THREADS.iterdir())
    except OSError:
        return None
    delays = []
    for thread in threads:
        try:
            delays.append(int((thread / "schedstat").read_text().split()[1]))
        except (OSError, IndexError, ValueError):  # the thread ended just now, or the kernel does not count
            continue
    return sum(delays) / _NANOSECONDS if delays else None


def delay_since(start: float | None) -> float | None:
    """Return the delay since an earlier ``run_delay()``, at least 0; None if one of the two is unknown."""
    now = run_delay()
    return None if now is None or start is None else max(now - start, 0.0)
