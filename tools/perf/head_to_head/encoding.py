"""Embeddings: ``SentenceTransformer.encode()`` and this package; a second run, from the embedding cache."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from pytest_sst2.config.catalog import METHODS
from pytest_sst2.methods.base import train
from pytest_sst2.methods.fast.embedder import Embedder
from pytest_sst2.methods.fast.embedding_cache import EmbeddingCache
from pytest_sst2.methods.fast.malloc import freed_memory_kept
from tools.perf.head_to_head.measure import Candidate, HeadToHead, Outcome
from tools.perf.head_to_head.workload import Workload

# Forward only.
_OPERATIONS = 2


def pairs(workload: Workload, sentences: int) -> list[HeadToHead]:
    """Return the pairs of embedding sentences once, and a second time."""
    return [
        HeadToHead(
            f"embed {sentences:,} sentences",
            Candidate("encode()", _library(workload, sentences)),
            (
                Candidate("float32", _ours(workload, sentences, "float32"), 1.15),
                Candidate("bfloat16", _ours(workload, sentences, "bfloat16"), 2.0),
            ),
        ),
        HeadToHead(
            f"encode phase of a probe, {min(sentences, 2000):,} rows",
            Candidate("first run", _probe(workload, min(sentences, 2000), second=False)),
            (Candidate("second run, cached", _probe(workload, min(sentences, 2000), second=True), 1 / 0.03),),
        ),
    ]


def sentences_of(workload: Workload, count: int) -> list[str]:
    """Return the first training sentences of a shuffled order."""
    return list(workload.source.dataset["train"].shuffle(seed=42)[:count]["sentence"])


def gflop(workload: Workload, sentences: list[str]) -> float:
    """Return the arithmetic of embedding sentences without padding, in GFLOP."""
    return _OPERATIONS * workload.matrix_parameters("minilm") * workload.tokens("minilm", sentences, 256) / 1e9


def _library(workload: Workload, count: int) -> Any:
    def run(number: int) -> Outcome:
        del number
        encoder = workload.loader.sentence_encoder(workload.model("minilm"))
        sentences = sentences_of(workload, count)
        start = time.perf_counter()
        rows = encoder.encode(sentences)
        return Outcome(time.perf_counter() - start, gflop(workload, sentences), np.asarray(rows))

    return run


def _ours(workload: Workload, count: int, dtype: str) -> Any:
    def run(number: int) -> Outcome:
        del number
        embedder = Embedder(workload.loader.sentence_encoder(workload.model("minilm"), dtype=dtype))
        sentences = sentences_of(workload, count)
        with freed_memory_kept():
            start = time.perf_counter()
            rows = embedder(sentences)
            seconds = time.perf_counter() - start
        return Outcome(seconds, gflop(workload, sentences), rows)

    return run


def _probe(workload: Workload, train_size: int, *, second: bool) -> Any:
    """Return a function that times the phase ``encode`` of a probe with an empty cache, or of the run after it."""
    method = next(spec for spec in METHODS if spec.name == "linear-probe")

    def phase(cache: EmbeddingCache, number: int) -> Any:
        job = workload.job("minilm", number + 1, train_size, cache=cache, enabled=True)
        with freed_memory_kept():
            train(method, job)
        return next(phase for phase in job.clock.phases if phase.name == "encode")

    def run(number: int) -> Outcome:
        cache = EmbeddingCache(Path(workload.scratch) / f"cache-{second}-{number}", 2**30)
        encoding = phase(cache, number)
        if second:
            encoding = phase(cache, number)
        if encoding.cached != second:
            raise RuntimeError(f"the cache was {'not ' if second else ''}used")
        return Outcome(encoding.seconds)

    return run
