"""Make the lock of a loaded sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from pytest_sst2.instruments.data_fingerprint import id_digests
from pytest_sst2.instruments.fingerprint_recorder import FingerprintRecorder
from pytest_sst2.instruments.phase_clock import PhaseClock
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.methods.features import record_embedder
from pytest_sst2.model_lock.lock_file import ModelLock, OwnSentences, check_own_sentences
from pytest_sst2.model_lock.vectors import pack_vectors
from pytest_sst2.results.packing import packed_digests, packed_text
from pytest_sst2.results.probe_sentences import probe_sentences, probe_sentences_digest
from pytest_sst2.utils.errors import Sst2Error

if TYPE_CHECKING:
    import numpy as np

    from pytest_sst2.results.record import Weights

# Packages that load or run an encoder.
_PACKAGES = ("numpy", "safetensors", "sentence-transformers", "tokenizers", "torch", "transformers")


def lock_of(
    encoder: Any, model: str, *, weights: Weights | None = None, sentences: Sequence[str] = ()
) -> tuple[ModelLock, np.ndarray]:
    """Return the lock of a ``SentenceTransformer``, and the embeddings behind its vectors, shape (n, d).

    Args:
        encoder: The encoder, as it is used.
        model: What the user calls it.
        weights: Its files, if known.
        sentences: The user's own sentences, without line breaks; empty for the probe sentences.

    Raises:
        Sst2Error: An embedding contains NaN or infinity, or ``sentences`` are too few, too many or too long.
    """
    import numpy as np

    check_own_sentences(sentences)
    own = tuple(sentences)
    embedder = Embedder(encoder)
    recorder = FingerprintRecorder(PhaseClock())
    record_embedder(recorder, embedder, embedder)
    observation = recorder.observation
    assert observation is not None  # noqa: S101 - the recorder is enabled
    embeddings = np.asarray(embedder(list(own or probe_sentences())))
    if not np.isfinite(embeddings).all():
        raise Sst2Error(f"model {model!r}: embeddings contain NaN or infinity, so they cannot be locked.")
    ids = embedder.token_ids(own) if own else None
    lock = ModelLock(
        model=model,
        max_length=encoder.max_seq_length,
        versions={name: metadata.version(name) for name in _PACKAGES},
        probe_sentences=probe_sentences_digest(),
        weights=weights,
        tokens=observation.tokens,
        encoder=observation.encoder,
        vectors=pack_vectors(embeddings),
        own=OwnSentences(packed_text("\n".join(own)), packed_digests(id_digests(ids)) if ids else "") if own else None,
    )
    return lock, embeddings
