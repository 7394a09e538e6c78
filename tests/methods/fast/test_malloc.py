"""Freed memory is kept during the body and returned afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import pytest

from pytest_sst2.methods.fast import malloc as heap
from pytest_sst2.methods.fast.malloc import collector_paused, freed_memory_kept

FAULTS = """
import resource, sys
from contextlib import nullcontext
from pytest_sst2.methods.fast.malloc import freed_memory_kept

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        block = bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with nullcontext():
    usual = faults()
with freed_memory_kept():
    faults()
    kept = faults()
print(usual, kept)
"""


@pytest.mark.skipif(heap._glibc() is None, reason="needs glibc with a malloc that no variable configures")
def test_memory_that_is_freed_and_asked_for_again_is_not_faulted_in_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    usual, kept = map(int, done.stdout.split())
    assert kept < usual / 10


@pytest.mark.parametrize("variable", ["GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_TRIM_THRESHOLD_"])
def test_a_malloc_that_the_user_has_set_up_is_left_alone(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "x")
    assert heap._glibc() is None
    with freed_memory_kept():
        pass


def test_elsewhere_than_on_linux_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert heap._glibc() is None


def test_the_usual_thresholds_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    class Library:
        def mallopt(self, *values: int) -> None:
            calls.append(values)

        def malloc_trim(self, pad: int) -> None:
            calls.append((pad,))

    library: Any = Library()
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    with pytest.raises(KeyboardInterrupt), freed_memory_kept():
        raise KeyboardInterrupt
    assert calls == [(-3, 2**30), (-1, 2**30), (-3, 2**25), (-1, 2**26), (0,)]


def test_the_collector_is_left_as_it_was_found() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
