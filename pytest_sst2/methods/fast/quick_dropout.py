"""Dropout with cheap random numbers, for training on the CPU.

There PyTorch draws a 53-bit number for every activation, one after the other, at 6 ns each: a tenth of a training
step. Sixteen bits are enough to decide whether an activation is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

_LEVELS = 2**16


class QuickDropout(nn.Dropout):
    """``torch.nn.Dropout`` with 16 random bits per activation, from torch's default generator.

    The probability is rounded to a multiple of 2⁻¹⁶. Kept activations are scaled by the inverse of the rounded share.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the input with a share of ``p`` set to zero and the rest scaled; in eval mode the input itself."""
        dropped = round(self.p * _LEVELS)
        if not self.training or dropped in (0, _LEVELS) or input.device.type != "cpu":
            return super().forward(input)
        count = input.numel()
        numbers = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = numbers.view(torch.int16)[:count].view(input.shape) >= dropped - _LEVELS // 2
        return input * kept.to(input.dtype).mul_(_LEVELS / (_LEVELS - dropped))


def quick_dropout(model: Any) -> contextlib.AbstractContextManager[None]:
    """Turn every ``torch.nn.Dropout`` of a model into a ``QuickDropout`` during the body."""
    return _exchanged(model, nn.Dropout, QuickDropout)


def plain_dropout(model: Any) -> contextlib.AbstractContextManager[None]:
    """Inside ``quick_dropout``, turn every ``QuickDropout`` of a model back into ``torch.nn.Dropout`` for the body."""
    return _exchanged(model, QuickDropout, nn.Dropout)


@contextlib.contextmanager
def _exchanged(model: Any, old: type[nn.Dropout], new: type[nn.Dropout]) -> Iterator[None]:
    """Give the modules of one class another class during the body."""
    changed = [module for module in model.modules() if type(module) is old]
    for module in changed:
        module.__class__ = new
    try:
        yield
    finally:
        for module in changed:
            module.__class__ = old
