"""Spellings: how the installed release of a library says what was called otherwise before, or is yet to be renamed."""

from __future__ import annotations

import dataclasses
from typing import Any

from packaging.version import Version


def dtype_argument(dtype: Any) -> dict[str, Any]:
    """Return what tells transformers the type of weights: ``torch_dtype`` became ``dtype`` in 4.56."""
    import transformers

    renamed = Version(transformers.__version__) >= Version("4.56.0.dev0")
    return {"dtype" if renamed else "torch_dtype": dtype}


def sampling_arguments(arguments: type[Any], *, group_by_length: bool) -> dict[str, Any]:
    """Return what tells a Trainer to group by length: ``group_by_length`` was renamed within version 5.

    Args:
        arguments: The class of training arguments.
        group_by_length: Whether to.
    """
    if "train_sampling_strategy" in {field.name for field in dataclasses.fields(arguments)}:
        return {"train_sampling_strategy": "group_by_length" if group_by_length else "random"}
    return {"group_by_length": group_by_length}
