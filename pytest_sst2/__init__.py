"""Check that SST-2 classifiers keep their accuracy and speed after an upgrade.

The names exported here are the public API: for a conftest that adds models or methods, and for annotations in
benchmark tests. Each name is imported when it is first used, because pytest imports this package in every run.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.version import __version__ as __version__

if TYPE_CHECKING:
    from pytest_sst2.config.specs import Cell, MethodSpec, ModelSpec
    from pytest_sst2.methods.base import Job, Trained
    from pytest_sst2.results.record import Record
    from pytest_sst2.session.cell_run import CellRun

__all__ = ["Cell", "CellRun", "Job", "MethodSpec", "ModelSpec", "Record", "Sst2Error", "Trained"]

_MODULES = {
    "Cell": "config.specs",
    "CellRun": "session.cell_run",
    "Job": "methods.base",
    "MethodSpec": "config.specs",
    "ModelSpec": "config.specs",
    "Record": "results.record",
    "Trained": "methods.base",
}


def __getattr__(name: str) -> Any:
    """Import an exported name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
