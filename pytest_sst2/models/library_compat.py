"""Compatibility shims for arguments that were renamed between library releases."""

from __future__ import annotations

import dataclasses
from typing import Any

from packaging.version import Version


def dtype_argument(dtype: Any) -> dict[str, Any]:
    """Return the argument for the dtype of weights: transformers renamed ``torch_dtype`` to ``dtype`` in 4.56."""
    import transformers

    renamed = Version(transformers.__version__) >= Version("4.56.0.dev0")
    return {"dtype" if renamed else "torch_dtype": dtype}


def sampling_arguments(arguments: type[Any], *, group_by_length: bool) -> dict[str, Any]:
    """Return the argument for grouping batches by length, which transformers renamed within version 5.

    Args:
        arguments: The class of training arguments.
        group_by_length: Whether to group batches by length.
    """
    if "train_sampling_strategy" in {field.name for field in dataclasses.fields(arguments)}:
        return {"train_sampling_strategy": "group_by_length" if group_by_length else "random"}
    return {"group_by_length": group_by_length}


def disable_chat_templates(encoder: Any) -> None:
    """Make a ``SentenceTransformer`` encode sentences as they are.

    sentence-transformers since 5.4 renders them with the chat template of a tokenizer that has one.
    """
    for module in encoder.modules():
        modalities = getattr(module, "modality_config", None)
        if isinstance(modalities, dict) and "text" in modalities:
            modalities.pop("message", None)
