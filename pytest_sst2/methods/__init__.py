"""How a classifier is made: one module per method behind one protocol (``Job`` in, ``Trained`` out)."""

from typing import Any

__all__ = ["Classifier", "Job", "Trained", "train"]


def __getattr__(name: str) -> Any:
    """Import ``base`` only for whoever asks: it loads numpy and the model loaders."""
    if name in __all__:
        from pytest_sst2.methods import base

        return getattr(base, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
