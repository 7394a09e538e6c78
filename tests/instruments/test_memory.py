"""Peak memory: blocks that were allocated and freed while it was measured."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pytest_sst2.instruments.memory import PeakMemory


@pytest.mark.parametrize("kernel_peak", [True, False])
def test_memory_at_the_start_is_apart_from_memory_added_later(
    kernel_peak: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel_peak:
        monkeypatch.setattr(PeakMemory, "_reset_peak", lambda self: False)
    before = np.ones(25_000_000)  # 200 MB
    with PeakMemory() as memory:
        block = np.ones(25_000_000)
        time.sleep(0.05)
        del block
    assert memory.start_bytes > before.nbytes
    assert 150 * 2**20 < memory.peak_bytes - memory.start_bytes < 300 * 2**20


@pytest.mark.parametrize("kernel_peak", [True, False])
def test_a_block_that_is_freed_before_the_end_counts(kernel_peak: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kernel_peak:
        monkeypatch.setattr(PeakMemory, "_reset_peak", lambda self: False)
    with PeakMemory() as before:
        time.sleep(0.03)
    with PeakMemory() as during:
        block = np.ones(25_000_000)  # 200 MB
        time.sleep(0.05)
        del block
    assert during.peak_bytes - before.peak_bytes > 150 * 2**20


def test_the_peak_of_one_cell_does_not_count_for_the_next() -> None:
    with PeakMemory() as large:
        block = np.ones(25_000_000)
        time.sleep(0.05)
        del block
    with PeakMemory() as small:
        time.sleep(0.03)
    assert small.peak_bytes < large.peak_bytes - 100 * 2**20
