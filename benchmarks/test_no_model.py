"""What can be had without a pretrained model: word counts, and the commoner class."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2("tfidf", "majority")
def test_floors(sst2_run: CellRun) -> None:
    """The methods that every other row has to beat reach their floors themselves."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
