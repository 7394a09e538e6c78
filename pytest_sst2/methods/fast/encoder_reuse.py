"""The frozen encoder of the cell before, for the next cell that wants the same."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from pytest_sst2.instruments.fingerprint_recorder import EncoderObservation
from pytest_sst2.methods.fast.embedder import Embedder


@dataclass
class FrozenEncoder:
    """Room for one encoder that nobody trains, and what was seen of it when it was loaded.

    Two probes of one model, or of five seeds, load it once and take its fingerprint once.
    """

    _key: Hashable = None
    _kept: tuple[Embedder, EncoderObservation] | None = None

    def get(self, key: Hashable) -> tuple[Embedder, EncoderObservation] | None:
        """Return the encoder kept under a key, None where it is another or none."""
        return self._kept if self._key == key else None

    def keep(self, key: Hashable, embedder: Embedder, sight: EncoderObservation) -> None:
        """Keep an encoder in the place of the one before."""
        self._key, self._kept = key, (embedder, sight)

    def let_go(self) -> None:
        """Keep none: its memory is wanted for other work."""
        self._key, self._kept = None, None
