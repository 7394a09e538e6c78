"""Turns: two processes, one per environment, run the same rounds one at a time, in slices of a second.

Other load on the machine therefore slows both equally, to within seconds. Each process writes its position to a
file that the other reads.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pytest_sst2.utils.clock import CLOCK

# Set by ``pytest-sst2 upgrade --time`` in both processes: the folder of the turn, and which side this is.
FOLDER_VARIABLE = "PYTEST_SST2_TURN_FOLDER"
SIDE_VARIABLE = "PYTEST_SST2_TURN_SIDE"
SIDES = ("before", "after")
# The other side does not wait for one that has ended.
_ENDED = "ended"
_SLICE_SECONDS = 1.0
_POLL_SECONDS = 0.01
# Threads of a pool spin for a while after the other side's last product.
_SETTLE_SECONDS = 0.05

Position = tuple[int, int, int]
"""The number of a cell, of its finished rounds, and of the finished slices of the round that follows."""


class Turns:
    """This process's side of the turn.

    In the first round of a cell, ``before`` has the first slice, ``after`` the second one, and so on. Which side begins
    a later round follows Thue and Morse (before, after, after, before, ...), so that no drift favours a side.

    Args:
        folder: Where both sides write their positions.
        side: ``before`` or ``after``.
    """

    def __init__(self, folder: Path, side: str) -> None:
        self._own, self._other = folder / side, folder / SIDES[1 - SIDES.index(side)]
        self._is_before = side == SIDES[0]
        self._parent = os.getppid()
        self._position: Position = (0, 0, 0)
        self._slice_start = CLOCK.seconds()

    @property
    def is_over(self) -> bool:
        """Whether the slice of this side has lasted long enough."""
        return CLOCK.seconds() - self._slice_start >= _SLICE_SECONDS

    def enter_cell(self) -> None:
        """Begin the next cell."""
        self._move((self._position[0] + 1, 0, 0))

    def wait(self) -> None:
        """Wait for the next slice of this side."""
        cell, rounds, slices = self._position
        goes_first = self._is_before != bool(rounds.bit_count() % 2)
        self._wait_for((cell, rounds, slices if goes_first else slices + 1))
        time.sleep(_SETTLE_SECONDS)
        self._slice_start = CLOCK.seconds()

    def end_slice(self) -> None:
        """Let the other side run a slice, if it still has work in this round; wait for the next one of this side."""
        cell, rounds, slices = self._position
        self._move((cell, rounds, slices + 1))
        self.wait()

    def finish_round(self) -> None:
        """Let the other side run."""
        cell, rounds, _ = self._position
        self._move((cell, rounds + 1, 0))

    def wait_for_rounds(self) -> None:
        """Wait until the other side has finished as many rounds, so that work after them does not disturb it."""
        self._wait_for(self._position)

    def _move(self, position: Position) -> None:
        self._position = position
        _write(self._own, " ".join(map(str, position)))

    def _wait_for(self, position: Position) -> None:
        # Without the process that started both, an ended side would never be marked.
        while not self._has_reached(position) and os.getppid() == self._parent:
            time.sleep(_POLL_SECONDS)

    def _has_reached(self, position: Position) -> bool:
        """Return whether the other side is at a position or beyond it, for example in the next cell, or has ended."""
        try:
            text = self._other.read_text(encoding="utf-8")
        except OSError:  # not started
            return False
        return text == _ENDED or tuple(map(int, text.split())) >= position


def end_side(folder: Path, side: str) -> None:
    """Mark that a process has ended."""
    _write(folder / side, _ENDED)


def _write(path: Path, text: str) -> None:
    """Write a file that no reader sees half written; it need not survive a crash, so it is not flushed to disk."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def turn_variables(folder: Path, side: str) -> dict[str, str]:
    """Return the environment variables of a process that takes turns."""
    return {FOLDER_VARIABLE: str(folder), SIDE_VARIABLE: side}


def turns_of_process() -> Turns | None:
    """Return this process's side of a turn; None if it takes no turns, as the workers of pytest-xdist do not."""
    folder, side = os.environ.get(FOLDER_VARIABLE), os.environ.get(SIDE_VARIABLE)
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    return Turns(Path(folder), side) if folder and side in SIDES and not is_worker else None
