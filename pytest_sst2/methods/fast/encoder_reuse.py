"""Reuse of a frozen encoder by the next cell with the same model."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from pytest_sst2.instruments.fingerprint_recorder import EncoderObservation
from pytest_sst2.methods.fast.embedder import Embedder


@dataclass
class FrozenEncoder:
    """One frozen encoder and its fingerprints, which the probes and seeds of a model then load and take only once."""

    _key: Hashable = None
    _kept: tuple[Embedder, EncoderObservation] | None = None

    def get(self, key: Hashable) -> tuple[Embedder, EncoderObservation] | None:
        """Return the encoder that was kept under this key, or None."""
        return self._kept if self._key == key else None

    def keep(self, key: Hashable, embedder: Embedder, observation: EncoderObservation) -> None:
        """Keep an encoder in place of the one before."""
        self._key, self._kept = key, (embedder, observation)

    def release(self) -> None:
        """Drop the encoder to free its memory."""
        self._key, self._kept = None, None
