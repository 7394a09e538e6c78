"""Fine-tuning: every layer trained with the Hugging Face Trainer."""

import pytest

from pytest_sst2 import CellRun


@pytest.mark.sst2("fine-tune")
def test_fine_tune(sst2_run: CellRun) -> None:
    """A fine-tuned encoder reaches its floor."""
    record = sst2_run.measure()
    sst2_run.assert_reaches_floor(record)
