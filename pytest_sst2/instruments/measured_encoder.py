"""Reuse of an encoder's measurement by the next cell that loads the same weights, such as another seed's training."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_sst2.instruments.data_fingerprint import Ids
from pytest_sst2.instruments.tensor_sketch import KnownSketches


@dataclass(frozen=True)
class EmbeddingMeasurement:
    """What was measured while an encoder embedded the probe sentences.

    Attributes:
        fields: The fields of ``EncoderFingerprint`` that show it.
        embeddings: The embeddings in batches, shape (n, d), float64.
        ids: The token ids that it read of each probe sentence; None if they could not be observed.
    """

    fields: Mapping[str, Any]
    embeddings: np.ndarray
    ids: Ids | None


@dataclass
class MeasuredEncoder:
    """The last measurement of an encoder, and the sketches of its tensors.

    It stands for an encoder that is equal in all that ``state_of`` describes.
    """

    sketches: KnownSketches = field(default_factory=dict)
    _key: Hashable = None
    _kept: EmbeddingMeasurement | None = None

    def get(self, key: Hashable) -> EmbeddingMeasurement | None:
        """Return the measurement that was kept under this key; None if there is none, or if the key is None."""
        return self._kept if key is not None and self._key == key else None

    def keep(self, key: Hashable, measurement: EmbeddingMeasurement) -> None:
        """Keep a measurement in place of the one before, unless the encoder's embeddings vary."""
        if key is not None and measurement.fields["nondeterminism"] == 0:
            self._key, self._kept = key, measurement


def state_of(module: Any, weights: str, ids: Ids | None) -> Hashable:
    """Return a value that two encoders share only if they embed alike: weights, buffers, modules and arithmetic.

    ``weights`` is the digest of the weights without the head, and ``ids`` are those of the probe sentences. None if
    either is unknown, if a hook or another function than its class's may change what a module computes, or if the
    bytes of a buffer cannot be read.
    """
    import torch

    named = list(module.named_modules())
    if not weights or ids is None or any(map(_may_compute_otherwise, (part for _, part in named))):
        return None
    buffers = hashlib.sha256()
    for name, buffer in module.named_buffers():
        if buffer.layout != torch.strided or type(buffer) is not torch.Tensor:
            return None
        buffers.update(f"{name} {buffer.dtype} {tuple(buffer.shape)}".encode())
        buffers.update(buffer.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    parts = tuple((name, type(part), part.extra_repr()) for name, part in named)
    arithmetic = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.enabled,
        str(torch.get_default_dtype()),
    )
    return weights, buffers.hexdigest(), parts, tuple(map(tuple, ids)), arithmetic


def _may_compute_otherwise(part: Any) -> bool:
    return bool(part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part))
