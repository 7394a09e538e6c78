"""After this change, do our SST-2 classifiers still reach the accuracy and speed they had?

``ModelSpec`` and ``MethodSpec`` are what a conftest returns from the hooks in ``pytest_sst2.hookspec``.
"""

from pytest_sst2.errors import Sst2Error
from pytest_sst2.registry import Cell, MethodSpec, ModelSpec

__all__ = ["Cell", "MethodSpec", "ModelSpec", "Sst2Error"]
__version__ = "0.2.0"
