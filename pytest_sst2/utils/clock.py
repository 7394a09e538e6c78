"""Clocks that a test cannot freeze.

Libraries such as freezegun replace the functions of ``time``, and every module attribute that refers to one. The
plugin imports this module at start-up and keeps the real functions in an object, so that measured times stay real.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """The real clocks.

    Attributes:
        now: Seconds since 1970.
        seconds: Seconds from an arbitrary start, with the highest resolution.
    """

    now: Callable[[], float]
    seconds: Callable[[], float]


CLOCK = Clock(now=time.time, seconds=time.perf_counter)
