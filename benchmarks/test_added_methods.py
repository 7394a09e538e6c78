"""Methods that a conftest or a plugin added with ``pytest_sst2_methods``."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2(added=True)
def test_added_method(sst2_run: CellRun) -> None:
    """An added method reaches its floor."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
