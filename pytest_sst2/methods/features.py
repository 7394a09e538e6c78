"""Sentence embeddings of a job's rows, from the embedding cache if they are there. Both probes train on them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pytest_sst2.instruments.encoder_fingerprint import Embed
from pytest_sst2.instruments.fingerprint_recorder import EncoderObservation, FingerprintRecorder
from pytest_sst2.methods.base import Job, overflow_remedy
from pytest_sst2.methods.fast.embedder import DEFAULT_BATCH, Embedder, default_prompt
from pytest_sst2.methods.fast.embedding_cache import address_of
from pytest_sst2.methods.truncation import truncation_warnings, unknown_token_warnings
from pytest_sst2.models.max_length import encoder_limit
from pytest_sst2.utils.errors import Sst2Error

# One cached row of this many is computed again and compared.
_CHECKED_EVERY = 50
# Other batches move an embedding less than this, relative to its length, unless the encoder depends on its batch.
_CACHED_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Features:
    """A job's frozen encoder: maps n sentences to an array of shape (n, d), float32.

    Only the job's own rows are looked up in the cache. Other sentences, such as probe sentences and the single
    sentences of the latency, are always embedded, so neither a fingerprint nor a latency comes from the cache.
    """

    job: Job
    embedder: Embedder

    @property
    def encoder(self) -> Any:
        """The ``SentenceTransformer``. Other cells share it, so it must not be trained."""
        return self.embedder.encoder

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings in the order of the sentences, shape (n, d), float32.

        Those of ``job.train.sentences`` and ``job.evaluation.sentences`` themselves are cached.

        Raises:
            Sst2Error: An embedding contains NaN or infinity.
        """
        is_own = any(sentences is rows.sentences for rows in (self.job.train, self.job.evaluation))
        ids = self.embedder.token_ids(sentences) if is_own else None
        if ids is None:
            return self._check_finite(self.embedder(sentences))
        rows = (
            self._embed_distinct(sentences, ids) if self.job.is_fast else self._check_finite(self.embedder(sentences))
        )
        which: Literal["train", "evaluation"] = "train" if sentences is self.job.train.sentences else "evaluation"
        self.job.recorder.record_rows(which, ids, rows)
        return rows

    def settings(self) -> dict[str, Any]:
        """Return the settings that decide the embeddings, as plain values."""
        return {
            "modules": [type(module).__name__ for module in self.encoder],
            "pooling": next((_pooling(module) for module in self.encoder if type(module).__name__ == "Pooling"), None),
            "max_seq_length": encoder_limit(self.encoder),
            **self.job.loader.variant_settings(self.job.encoder),
            **(
                {"tokens_per_batch": self.embedder.tokens_per_batch}
                if self.job.is_fast
                else {"encode_batch_size": DEFAULT_BATCH}
            ),
        }

    def warnings(self) -> tuple[str, ...]:
        """Warn about missing modules, truncated sentences, unknown tokens, and a cache that cannot be used."""
        job, limit = self.job, encoder_limit(self.encoder)
        pooled = (job.loader.locate(job.encoder).folder / "modules.json").is_file()
        missing = () if pooled else ("no sentence-transformers modules: mean pooling over the last hidden states",)
        tokenizer = self.encoder.tokenizer
        prompt = default_prompt(self.encoder)
        cut = () if limit is None else truncation_warnings(tokenizer, limit, job.train, job.evaluation, prompt)
        unknown = unknown_token_warnings(tokenizer, job.evaluation)
        problem = (job.cache.problem,) if job.cache is not None and job.cache.problem else ()
        return (*missing, *cut, *unknown, *problem)

    def _embed_distinct(self, sentences: Sequence[str], ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Embed each distinct list of token ids once, in an order that does not depend on the seed's shuffle."""
        indices: dict[tuple[int, ...], int] = {}
        for index, tokens in enumerate(map(tuple, ids)):
            indices.setdefault(tokens, index)
        distinct = sorted(indices)
        rows = self._embed_or_look_up(distinct, [sentences[indices[tokens]] for tokens in distinct])
        row_of = {tokens: row for row, tokens in enumerate(distinct)}
        return rows[[row_of[tuple(tokens)] for tokens in ids]]

    def _embed_or_look_up(self, ids: Sequence[Sequence[int]], sentences: Sequence[str]) -> np.ndarray:
        cache, encoder = self.job.cache, self.job.recorder.observation
        lengths = [len(tokens) for tokens in ids]
        if cache is None or encoder is None:
            return self._check_finite(self.embedder.embed(sentences, lengths, self.job.clock.step))
        # Batches of another size move embeddings by 1e-7, too little to change the encoder's identity.
        parts = "" if self.job.parts == 1 else f"{self.job.parts} parts"
        address = address_of(encoder.identity, ids, " ".join(filter(None, (self.job.encoder.variant, parts))))
        cached = cache.get(address, len(ids))
        if cached is not None and self._confirms(cached, sentences, lengths, encoder):
            self.job.clock.mark_cached()
            return cached
        rows = self._check_finite(self.embedder.embed(sentences, lengths, self.job.clock.step))
        with self.job.clock.phase("store"):
            cache.put(address, rows)
        return rows

    def _confirms(
        self, cached: np.ndarray, sentences: Sequence[str], lengths: Sequence[int], encoder: EncoderObservation
    ) -> bool:
        """Return whether the encoder gives a share of the cached rows again; otherwise note it as the cache's problem.

        Other rows are checked in each run.
        """
        chosen = range(time.time_ns() % min(_CHECKED_EVERY, len(cached)), len(cached), _CHECKED_EVERY)
        again = self.embedder.embed([sentences[row] for row in chosen], [lengths[row] for row in chosen])
        distances = np.linalg.norm(again - cached[chosen], axis=1)
        noise = max(encoder.encoder.batch_sensitivity, encoder.encoder.nondeterminism)
        wrong = int((distances > max(_CACHED_TOLERANCE, 5 * noise) * encoder.encoder.length).sum())
        if wrong and self.job.cache is not None:
            self.job.cache.problem = (
                f"cached embeddings were not used: the encoder gives others for {wrong} of the {len(chosen)} rows that "
                f"were checked (one of {_CHECKED_EVERY}), so all were computed again"
            )
        return not wrong

    def _check_finite(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings if they are finite; otherwise the classifier would be blamed for them."""
        if not np.isfinite(rows).all():
            invalid = int((~np.isfinite(rows)).any(axis=1).sum())
            dtype = self.job.recipe.dtype
            raise Sst2Error(
                f"model {self.job.encoder.name!r}: {invalid:,} of {len(rows):,} embeddings contain NaN or infinity "
                f"in {dtype}. {overflow_remedy(dtype)}"
            )
        return rows


def load_features(job: Job) -> Features:
    """Load the job's frozen encoder in the recipe's type, as phase ``load``, and record its fingerprints.

    If the cell before loaded the same encoder, that one is reused and the phase is marked as cached.
    """
    key = (job.encoder, job.recipe.dtype, job.recipe.probe_max_length, job.parts)
    reused = job.frozen.get(key) if job.frozen is not None else None
    with job.clock.phase("load"):
        if reused is not None:
            job.clock.mark_cached()
            embedder, observation = reused
        else:
            limit = job.recipe.probe_max_length
            encoder = job.loader.sentence_encoder(job.encoder, dtype=job.recipe.dtype, max_length=limit)
            embedder = Embedder(encoder, job.parts, job.is_fast)
    if reused is not None:
        job.recorder.reuse(embedder.encoder, observation)
        return Features(job, embedder)
    features = Features(job, embedder)
    record_embedder(job.recorder, embedder, features)
    if job.frozen is not None and job.recorder.observation is not None:
        job.frozen.keep(key, embedder, job.recorder.observation)
    return features


def record_embedder(recorder: FingerprintRecorder, embedder: Embedder, embed: Embed) -> None:
    """Record the fingerprints of an embedder's tokenizer and encoder; ``embed`` maps n sentences to (n, d)."""
    if embedder.prepared_ids([""]) is not None:
        recorder.record_tokenizer(embedder.encoder.tokenizer, lambda sentences: embedder.prepared_ids(sentences) or [])
    recorder.record_encoder(embedder.encoder, embed)


def _pooling(module: Any) -> str:
    """Return the mode of a Pooling module: ``mean``, ``cls``, or several joined by ``+``."""
    mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)
