"""Data on test reports: what a test measured travels on its report from a worker to the controller.

A report also keeps the record if an assertion fails after the measurement.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from pytest_sst2.session.cell_run import FAILURE, RECORD, RESUMED


def attach_results(item: pytest.Item, report: Any) -> None:
    """Attach the record or the failure of a test to its report, as JSON."""
    if (resumed := item.stash.get(RESUMED, None)) is not None:
        report.sst2_resumed = resumed
    if (record := item.stash.get(RECORD, None)) is not None:
        report.sst2_record = record.to_json()
    if (failure := item.stash.get(FAILURE, None)) is not None:
        report.sst2_failure = asdict(failure)
