"""Rounds with given times and memory, and their comparison."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange, compare_speed_and_memory
from pytest_sst2.results.record import Phase, Placement, Record, Round
from tests.support.record_factory import ENVIRONMENT, make_record

MB = 2**20
UNIT = 0.004
NEXT_TO_OTHERS = Placement("xdist", "here", "gw1", concurrent_workers=1)


def rounds(*seconds: float, unit: float = UNIT, phase: str = "encode", **fields: Any) -> tuple[Round, ...]:
    """Return one round per value of ``seconds``, all in one phase."""
    memory_fields = {"peak_bytes": 800 * MB, "peak_growth_bytes": 100 * MB, **fields}
    return tuple(Round(spent, (Phase(phase, spent, 500),), unit, **memory_fields) for spent in seconds)


def record(*made: Round, **environment: Any) -> Record:
    """Return a record with these rounds, measured in an environment with these fields."""
    return make_record(rounds=made, environment=dataclasses.replace(ENVIRONMENT, **environment))


def compared(before: tuple[Round, ...], after: tuple[Round, ...]) -> SpeedAndMemoryChange:
    """Compare two cells of one record each."""
    return compare_speed_and_memory([record(*before)], [record(*after)])
