"""Where a cell is measured: machine, worker, and who else is busy on its cores."""

from __future__ import annotations

import os
import platform

from pytest_sst2.results.record import Placement
from pytest_sst2.utils.processes import xdist_workers


def here(*, exclusive: bool = False) -> Placement:
    """Return where this process measures: the machine, the worker, and who else is at work on its cores.

    Args:
        exclusive: Whether cells are measured one at a time, whoever else there is.
    """
    node, workers = platform.node(), xdist_workers()
    if "PYTEST_XDIST_WORKER" in os.environ:
        return Placement("xdist", node, os.environ["PYTEST_XDIST_WORKER"], 0 if exclusive else workers - 1)
    return Placement("serial", node)
