"""The features of both probes: embeddings of a job's rows, from the cache where they are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job, overflow_remedy
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.methods.fast.embedding_cache import address_of
from pytest_sst2.methods.truncation import truncation_warnings
from pytest_sst2.utils.errors import Sst2Error


@dataclass(frozen=True)
class Features:
    """A job's frozen encoder: from n sentences to an array of shape (n, d), float32.

    Only the rows of the job are looked for in the cache. Anything else, the fixed sentences and single ones, is
    embedded every time, so that neither a fingerprint nor a latency can come from there.
    """

    job: Job
    embedder: Embedder

    @property
    def encoder(self) -> Any:
        """The ``SentenceTransformer`` itself."""
        return self.embedder.encoder

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings, in the order of the sentences.

        Raises:
            Sst2Error: Some are no numbers.
        """
        if not any(sentences is rows.sentences for rows in (self.job.train, self.job.evaluation)):
            return self._real(self.embedder(sentences))
        ids = self.embedder.token_ids(sentences)
        if ids is None:
            return self._real(self.embedder(sentences))
        return self._of_distinct(sentences, ids)

    def _real(self, rows: np.ndarray) -> np.ndarray:
        """Return embeddings, or refuse those with NaN or infinity: what is fitted to them would be blamed for it."""
        if not np.isfinite(rows).all():
            unreal = int((~np.isfinite(rows)).any(axis=1).sum())
            dtype = self.job.recipe.dtype
            raise Sst2Error(
                f"model {self.job.encoder.name!r}: of {len(rows):,} embeddings, {unreal:,} have NaN or infinity in "
                f"them: it computes no numbers for these sentences in {dtype}. {overflow_remedy(dtype)}"
            )
        return rows

    def _of_distinct(self, sentences: Sequence[str], ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Embed what is the same to the encoder once, in an order that does not depend on the seed's shuffle."""
        places: dict[tuple[int, ...], int] = {}
        for index, sentence in enumerate(map(tuple, ids)):
            places.setdefault(sentence, index)
        distinct = sorted(places)
        rows = self._cached(distinct, [sentences[places[each]] for each in distinct])
        number = {sentence: row for row, sentence in enumerate(distinct)}
        return rows[[number[tuple(sentence)] for sentence in ids]]

    def _cached(self, ids: Sequence[Sequence[int]], sentences: Sequence[str]) -> np.ndarray:
        cache, sight = self.job.cache, self.job.recorder.sight
        if cache is None or sight is None:
            return self._real(self.embedder.embed(sentences, [len(each) for each in ids], self.job.clock.step))
        # Batches of another size move embeddings by 1e-7, which the fixed sentences are too few to show.
        address = address_of(sight.identity, ids, "" if self.job.parts == 1 else f"{self.job.parts} parts")
        found = cache.get(address, len(ids))
        if found is not None:
            self.job.clock.mark_cached()
            return found
        rows = self._real(self.embedder.embed(sentences, [len(each) for each in ids], self.job.clock.step))
        with self.job.clock.phase("store"):
            cache.put(address, rows)
        return rows

    def settings(self) -> dict[str, Any]:
        """Return what decides the embeddings, as plain values."""
        return {
            "modules": [type(module).__name__ for module in self.encoder],
            "pooling": next((_pooling(module) for module in self.encoder if type(module).__name__ == "Pooling"), None),
            "max_seq_length": self.encoder.max_seq_length,
            "tokens_per_batch": self.embedder.tokens_per_batch,
        }

    def warnings(self) -> tuple[str, ...]:
        """Say when the encoder brought no pooling of its own, did not read whole sentences, or could not be kept."""
        job, limit = self.job, self.encoder.max_seq_length
        pooled = (job.loader.locate(job.encoder).folder / "modules.json").is_file()
        missing = () if pooled else ("no sentence-transformers modules: mean pooling over the last hidden states",)
        cut = () if limit is None else truncation_warnings(self.encoder.tokenizer, limit, job.train, job.evaluation)
        problem = (job.cache.problem,) if job.cache is not None and job.cache.problem else ()
        return (*missing, *cut, *problem)


def load_features(job: Job) -> Features:
    """Load the job's encoder in the recipe's type, as phase ``load``, and show it to the recorder.

    Where the cell before has loaded the same one, that is taken, and the phase is marked as cached.
    """
    key = (job.encoder, job.recipe.dtype, job.recipe.probe_max_length, job.parts)
    kept = job.frozen.get(key) if job.frozen is not None else None
    with job.clock.phase("load"):
        if kept is not None:
            job.clock.mark_cached()
            embedder, sight = kept
        else:
            limit = job.recipe.probe_max_length
            encoder = job.loader.sentence_encoder(job.encoder, dtype=job.recipe.dtype, max_length=limit)
            embedder = Embedder(encoder, job.parts)
    if kept is not None:
        job.recorder.recall(embedder.encoder, sight)
        return Features(job, embedder)
    if embedder.prepared_ids([""]) is not None:
        job.recorder.record_tokenizer(
            embedder.encoder.tokenizer, lambda sentences: embedder.prepared_ids(sentences) or []
        )
    features = Features(job, embedder)
    job.recorder.record_encoder(embedder.encoder, features)
    if job.frozen is not None and job.recorder.sight is not None:
        job.frozen.keep(key, embedder, job.recorder.sight)
    return features


def _pooling(module: Any) -> str:
    """Return how a Pooling module pools: ``mean``, ``cls``, or several."""
    mode = getattr(module, "pooling_mode", None) or module.get_pooling_mode_str()
    return mode if isinstance(mode, str) else "+".join(mode)
