"""Frozen sentence embeddings, the features of both probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.methods import Job

# Sentences are sorted by length before they are batched, so a large batch wastes little padding. The size is part of
# what makes a number reproducible: it moves embeddings by 1e-7, and a regression that stops at tol=1e-4 can turn that
# into a few predictions in 5,000 (measured: 0.8192, 0.8198, 0.8200 for batches of 32, 64 and 128).
BATCH_SIZE = 128


@dataclass(frozen=True)
class Embedder:
    """A frozen encoder: from n sentences to an array of shape (n, d), float32."""

    encoder: Any

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings, in the order of the sentences."""
        embedded = self.encoder.encode(
            list(sentences), batch_size=BATCH_SIZE, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(embedded.float().cpu().numpy(), dtype=np.float32)

    def settings(self) -> dict[str, Any]:
        """Return what decides the embeddings, as plain values."""
        return {
            "modules": [type(module).__name__ for module in self.encoder],
            "max_seq_length": self.encoder.max_seq_length,
            "encode_batch_size": BATCH_SIZE,
        }


def load_embedder(job: Job) -> Embedder:
    """Load the job's encoder in the recipe's type, as phase ``load``."""
    with job.clock.phase("load"):
        return Embedder(
            job.loader.sentence_encoder(job.encoder, dtype=job.recipe.dtype, max_length=job.recipe.probe_max_length)
        )


def pooling_warnings(job: Job) -> tuple[str, ...]:
    """Say when the encoder brought no pooling of its own."""
    if (job.loader.locate(job.encoder).folder / "modules.json").is_file():
        return ()
    return ("no sentence-transformers modules: mean pooling over the last hidden states",)
