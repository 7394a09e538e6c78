"""Methods without a pretrained model: word counts, and the more frequent class."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2("tfidf", "majority")
def test_floors(sst2_run: CellRun) -> None:
    """The baselines for all other methods reach their floors."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
