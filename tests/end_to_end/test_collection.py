"""The tests have the same names in every process, or pytest-xdist refuses to share them out."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT

TESTS = ROOT / "tests"


def collected(hash_seed: int) -> list[str]:
    """Return the names of all tests, as a new process with `hash_seed` gives them."""
    command = [sys.executable, "-m", "pytest", str(TESTS), "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    done = subprocess.run(command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [line for line in done.stdout.splitlines() if "::" in line]


@pytest.mark.processes
def test_tests_are_named_alike_whatever_the_clock_and_the_hash_seed() -> None:
    # The two collections are seconds apart: a name made from the clock differs, as one in the order of a set does.
    first = collected(1)
    assert first
    assert collected(2) == first
