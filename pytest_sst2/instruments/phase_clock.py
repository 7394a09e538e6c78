"""PhaseClock: the seconds of each phase of a cell, and how long its threads waited for a core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pytest_sst2.instruments.progress import Progress
from pytest_sst2.instruments.run_delay import run_delay
from pytest_sst2.results.record import Phase
from pytest_sst2.utils.clock import CLOCK


@dataclass(frozen=True)
class _Spent:
    """Wall seconds and run delay, of a moment since some start or of a stretch of time; None if it is not counted."""

    wall: float
    delay: float | None

    def since(self, start: _Spent) -> _Spent:
        # The total falls when a thread ends.
        delay = None if self.delay is None or start.delay is None else max(self.delay - start.delay, 0.0)
        return _Spent(self.wall - start.wall, delay)

    def __add__(self, other: _Spent) -> _Spent:
        delay = None if self.delay is None or other.delay is None else self.delay + other.delay
        return _Spent(self.wall + other.wall, delay)


_NOTHING = _Spent(0.0, 0.0)


def _now() -> _Spent:
    return _Spent(CLOCK.seconds(), run_delay())


class Turn(Protocol):
    """Shares the machine with another process, slice by slice."""

    @property
    def is_over(self) -> bool:
        """Whether the slice of this process has lasted long enough."""

    def end_slice(self) -> None:
        """Let the other process run, and wait for the next slice of this one."""


class PhaseClock:
    """Times the phases of one cell.

    The seconds of a phase exclude the phases inside it, so the sum of all phases is at most the wall time. Phases of
    the same name are added up.

    Args:
        synchronize: Called at both ends of a phase, so that work queued on an accelerator is counted in its phase.
        between: Called after each timed phase. No phase includes its time.
        progress: Updated with the open phase and its batches.
        turn: Asked after each batch whether the other process runs now. No phase includes the wait.
    """

    def __init__(
        self,
        synchronize: Callable[[], None] = lambda: None,
        between: Callable[[], None] = lambda: None,
        progress: Progress | None = None,
        turn: Turn | None = None,
    ) -> None:
        self._synchronize = synchronize
        self._between = between
        self._progress = progress or Progress()
        self._turn = turn
        self._spent: dict[str, _Spent] = {}
        self._examples: dict[str, int] = {}
        self._cached: set[str] = set()
        self._open: list[str] = []
        self._inner: list[_Spent] = []

    @contextlib.contextmanager
    def phase(self, name: str, examples: int = 0, *, is_timed: bool = True) -> Iterator[None]:
        """Add the seconds of the body, and ``examples``, to those of phase ``name``. If it raises, record nothing.

        Unless ``is_timed``, the seconds are used for nothing, so ``between`` is not called.
        """
        self._synchronize()
        self._inner.append(_NOTHING)
        self._open.append(name)
        self._progress.enter(name)
        start = _now()
        try:
            yield
            self._synchronize()
        finally:
            elapsed = _now().since(start)
            inner = self._inner.pop()
            self._open.pop()
            self._progress.leave()
            self._exclude(elapsed)
        self._spent[name] = self._spent.get(name, _NOTHING) + elapsed.since(inner)
        self._examples[name] = self._examples.get(name, 0) + examples
        if is_timed:
            self._without_time(self._between)

    def mark_cached(self) -> None:
        """Mark the open phase as cached: its result came from a cache, so its seconds are not those of the work."""
        self._cached.add(self._open[-1])

    def step(self, done: int, of: int) -> None:
        """Update the progress with the number of finished batches of the open phase, and of all its batches."""
        self._progress.step(done, of)
        if self._turn is not None and self._turn.is_over:
            self._synchronize()
            self._without_time(self._turn.end_slice)

    def _without_time(self, function: Callable[[], None]) -> None:
        start = _now()
        function()
        self._exclude(_now().since(start))

    def _exclude(self, spent: _Spent) -> None:
        if self._inner:
            self._inner[-1] += spent

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases so far, in the order in which each first ended."""
        return tuple(
            Phase(
                name,
                round(spent.wall, 6),
                self._examples[name],
                name in self._cached,
                None if spent.delay is None else round(spent.delay, 6),
            )
            for name, spent in self._spent.items()
        )
