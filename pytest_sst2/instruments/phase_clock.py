"""Phases: where the seconds of one cell go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from pytest_sst2.instruments.progress import Progress
from pytest_sst2.results.record import Phase


def _nothing() -> None:
    return


class PhaseClock:
    """Gathers the phases of one cell.

    A phase that is opened inside another is taken out of the outer one's seconds, so the sum of all phases is never
    more than the wall time. Phases of one name are added up.

    Args:
        synchronize: Called at both ends of a phase, so that work queued on an accelerator is counted where it belongs.
        between: Called after each phase; the time it takes is counted to none.
        progress: Told which phase is open and how far it is.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = _nothing,
        between: Callable[[], None] = _nothing,
        progress: Progress | None = None,
    ) -> None:
        self._synchronize = synchronize
        self._between = between
        self._progress = progress or Progress()
        self._seconds: dict[str, float] = {}
        self._examples: dict[str, int] = {}
        self._cached: set[str] = set()
        self._open: list[str] = []
        self._inner_seconds: list[float] = []

    @contextlib.contextmanager
    def phase(self, name: str, examples: int = 0) -> Iterator[None]:
        """Time the body as part of phase ``name``, in which ``examples`` further examples are worked on.

        A body that raises is not recorded.
        """
        self._synchronize()
        self._inner_seconds.append(0.0)
        self._open.append(name)
        self._progress.enter(name)
        start = time.perf_counter()
        try:
            yield
            self._synchronize()
        finally:
            elapsed = time.perf_counter() - start
            inner = self._inner_seconds.pop()
            self._open.pop()
            self._progress.leave()
            self._leave_out(elapsed)
        self._seconds[name] = self._seconds.get(name, 0.0) + elapsed - inner
        self._examples[name] = self._examples.get(name, 0) + examples
        start = time.perf_counter()
        self._between()
        self._leave_out(time.perf_counter() - start)

    def mark_cached(self) -> None:
        """Say of the phase that is open that its work was not done: the result was taken from a cache."""
        self._cached.add(self._open[-1])

    def step(self, done: int, of: int) -> None:
        """Say how many batches of the open phase are done, of how many; for those who wait, not for any number."""
        self._progress.step(done, of)

    def _leave_out(self, seconds: float) -> None:
        """Take a stretch out of the seconds of the phase that is open."""
        if self._inner_seconds:
            self._inner_seconds[-1] += seconds

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases so far, in the order they were first finished."""
        return tuple(
            Phase(name, round(seconds, 6), self._examples[name], name in self._cached)
            for name, seconds in self._seconds.items()
        )
