"""Machine speed: the seconds of fixed work, with the threads of the cells."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
import threadpoolctl

from pytest_sst2.instruments import machine_speed
from pytest_sst2.instruments.machine_speed import machine_seconds


def test_machine_seconds_are_of_a_plausible_size() -> None:
    assert 1e-5 < machine_seconds("cpu", 1) < 1


def test_slower_work_takes_longer_and_one_interruption_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = np.matmul, 0

    def once_interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        time.sleep(0.2 if calls == 3 else 0)
        return real(*arguments, **options)

    def slower(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.15)
        return real(*arguments, **options)

    monkeypatch.setattr(machine_speed, "_REPETITIONS", 5)
    monkeypatch.setattr(np, "matmul", once_interrupted)
    assert machine_seconds("cpu", 1) < 0.15
    monkeypatch.setattr(np, "matmul", slower)
    assert machine_seconds("cpu", 1) > 0.15


def test_the_work_has_the_threads_of_the_cells_and_restores_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]

    real, seen = threadpoolctl.threadpool_limits, []

    def watched(**options: Any) -> Any:
        seen.append(options)
        return real(**options)

    before = threads()
    monkeypatch.setattr(threadpoolctl, "threadpool_limits", watched)
    machine_seconds("cpu", 3)
    assert seen == [{"limits": 3, "user_api": "blas"}]
    assert threads() == before
