"""Frozen sentence embeddings, the features of both probes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.methods import Job

# Larger batches gain little on a CPU and cost memory; sentences are sorted by length before they are batched.
BATCH_SIZE = 64


@dataclass(frozen=True)
class Embedder:
    """A frozen encoder: from n sentences to an array of shape (n, d), float32."""

    encoder: Any

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        embedded = self.encoder.encode(
            list(sentences), batch_size=BATCH_SIZE, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(embedded.float().cpu().numpy(), dtype=np.float32)

    def settings(self) -> dict[str, Any]:
        """Return what decides the embeddings, as plain values."""
        return {
            "modules": [type(module).__name__ for module in self.encoder],
            "max_seq_length": self.encoder.max_seq_length,
            "dimension": self.encoder.get_sentence_embedding_dimension()
            if not hasattr(self.encoder, "get_embedding_dimension")
            else self.encoder.get_embedding_dimension(),
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
