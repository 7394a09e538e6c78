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
    from pytest_sst2.methods.features import load_features
    from pytest_sst2.methods.sequence_classifier import SequenceClassifier
    from pytest_sst2.results.fingerprint import TrainingFingerprint
    from pytest_sst2.results.record import Epoch, Record
    from pytest_sst2.session.cell_run import CellRun

__all__ = [
    "Cell",
    "CellRun",
    "Epoch",
    "Job",
    "MethodSpec",
    "ModelSpec",
    "Record",
    "SequenceClassifier",
    "Sst2Error",
    "Trained",
    "TrainingFingerprint",
    "load_features",
]

_MODULES = {
    "Cell": "config.specs",
    "CellRun": "session.cell_run",
    "Epoch": "results.record",
    "Job": "methods.base",
    "MethodSpec": "config.specs",
    "ModelSpec": "config.specs",
    "Record": "results.record",
    "SequenceClassifier": "methods.sequence_classifier",
    "Trained": "methods.base",
    "TrainingFingerprint": "results.fingerprint",
    "load_features": "methods.features",
}


def __getattr__(name: str) -> Any:
    """Import an exported name (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
