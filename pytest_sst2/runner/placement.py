"""Where a cell is measured: machine, worker, and number of concurrent workers."""

from __future__ import annotations

import os
import platform

from pytest_sst2.results.record import Placement
from pytest_sst2.utils.processes import xdist_workers


def here(*, exclusive: bool = False) -> Placement:
    """Return the placement of this process.

    Args:
        exclusive: Whether the workers of this machine measure one cell at a time.
    """
    node, workers = platform.node(), xdist_workers()
    if "PYTEST_XDIST_WORKER" in os.environ:
        return Placement("xdist", node, os.environ["PYTEST_XDIST_WORKER"], 0 if exclusive else workers - 1)
    return Placement("serial", node)
