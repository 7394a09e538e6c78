"""Checkpoints that are already trained, with the head that they have."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2("as-is")
def test_as_is(sst2_run: CellRun) -> None:
    """A trained checkpoint reaches its floor."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
