"""PhaseClock: the seconds of each phase of a cell."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from pytest_sst2.instruments.progress import Progress
from pytest_sst2.results.record import Phase
from pytest_sst2.utils.clock import CLOCK


class PhaseClock:
    """Times the phases of one cell.

    The seconds of a phase exclude the phases inside it, so the sum of all phases is at most the wall time. Phases of
    the same name are added up.

    Args:
        synchronize: Called at both ends of a phase, so that work queued on an accelerator is counted in its phase.
        between: Called after each phase. No phase includes its time.
        progress: Updated with the open phase and its batches.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = lambda: None,
        between: Callable[[], None] = lambda: None,
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
        """Time the body as part of phase ``name``, with ``examples`` more examples. If it raises, record nothing."""
        self._synchronize()
        self._inner_seconds.append(0.0)
        self._open.append(name)
        self._progress.enter(name)
        start = CLOCK.seconds()
        try:
            yield
            self._synchronize()
        finally:
            elapsed = CLOCK.seconds() - start
            inner = self._inner_seconds.pop()
            self._open.pop()
            self._progress.leave()
            self._exclude(elapsed)
        self._seconds[name] = self._seconds.get(name, 0.0) + elapsed - inner
        self._examples[name] = self._examples.get(name, 0) + examples
        start = CLOCK.seconds()
        self._between()
        self._exclude(CLOCK.seconds() - start)

    def mark_cached(self) -> None:
        """Mark the open phase as cached: its result came from a cache, so its seconds are not those of the work."""
        self._cached.add(self._open[-1])

    def step(self, done: int, of: int) -> None:
        """Update the progress with the number of finished batches of the open phase, and of all its batches."""
        self._progress.step(done, of)

    def _exclude(self, seconds: float) -> None:
        if self._inner_seconds:
            self._inner_seconds[-1] += seconds

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases so far, in the order in which each first ended."""
        return tuple(
            Phase(name, round(seconds, 6), self._examples[name], name in self._cached)
            for name, seconds in self._seconds.items()
        )
