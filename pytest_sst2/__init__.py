"""After this change, do our SST-2 classifiers still reach the accuracy and speed they had?

``ModelSpec`` and ``MethodSpec`` are what a conftest returns from the hooks in ``pytest_sst2.hookspec``.
"""

from typing import TYPE_CHECKING, Any

from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    from pytest_sst2.config.registry import Cell, MethodSpec, ModelSpec

__all__ = ["Cell", "MethodSpec", "ModelSpec", "Sst2Error"]
__version__ = "0.3.0"


def __getattr__(name: str) -> Any:
    """Import the registry for whoever asks for it: pytest imports this package in every run of everybody's tests."""
    if name in __all__:
        from pytest_sst2.config import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
