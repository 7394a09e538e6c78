"""Reuse of a frozen encoder by the next cell with the same model."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from pytest_sst2.instruments.fingerprint_recorder import EncoderObservation
from pytest_sst2.methods.fast.embedder import Embedder


@dataclass
class FrozenEncoder:
    """One frozen encoder and its fingerprints, which the probes and seeds of a model then load and take only once."""

    _key: Hashable = None
    _kept: tuple[Embedder, EncoderObservation] | None = None
    _state: Hashable = None

    def get(self, key: Hashable) -> tuple[Embedder, EncoderObservation] | None:
        """Return the encoder that was kept under this key; None if there is none, or if a method changed it since."""
        if self._kept is None or self._key != key or self._state != _state(self._kept[0].encoder):
            return None
        return self._kept

    def keep(self, key: Hashable, embedder: Embedder, observation: EncoderObservation) -> None:
        """Keep an encoder in place of the one before."""
        self._key, self._kept, self._state = key, (embedder, observation), _state(embedder.encoder)

    def release(self) -> None:
        """Drop the encoder to free its memory."""
        self._key, self._kept, self._state = None, None, None


def _state(encoder: Any) -> Hashable:
    """Return a value that changes with a training step or another change of weights, without reading the weights."""
    weights = [(weight.data_ptr(), weight._version) for weight in encoder.parameters()]
    return encoder.max_seq_length, tuple(weights)
