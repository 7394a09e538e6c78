"""Pickles that call a function, and a comparison of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

PICKLE = "pytorch_model.bin"
SAFE = "model.safetensors"


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for key, tensor in left.items():
        assert tensor.dtype == right[key].dtype
        assert torch.equal(tensor, right[key]), key
