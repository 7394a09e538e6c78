"""Embeddings: ``SentenceTransformer.encode()`` as it comes, and this package; and the second run, from the cache."""

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
from tools.perf.head_to_head.contest import Contest, Contestant, Outcome
from tools.perf.head_to_head.material import Material

# Forward only.
_OPERATIONS = 2


def contests(material: Material, sentences: int) -> list[Contest]:
    """Return the contests of embedding so many sentences, and of doing it for a second time."""
    return [
        Contest(
            f"embed {sentences:,} sentences",
            Contestant("encode()", _library(material, sentences)),
            (
                Contestant("float32", _ours(material, sentences, "float32"), 1.15),
                Contestant("bfloat16", _ours(material, sentences, "bfloat16"), 2.0),
            ),
        ),
        Contest(
            f"encode phase of a probe, {min(sentences, 2000):,} rows",
            Contestant("first run", _probe(material, min(sentences, 2000), second=False)),
            (Contestant("second run, cached", _probe(material, min(sentences, 2000), second=True), 1 / 0.03),),
        ),
    ]


def sentences_of(material: Material, count: int) -> list[str]:
    """Return so many training sentences."""
    return list(material.source.dataset["train"].shuffle(seed=42)[:count]["sentence"])


def gflop(material: Material, sentences: list[str]) -> float:
    """Return the arithmetic of embedding sentences, padding left out."""
    return _OPERATIONS * material.matrix_parameters("minilm") * material.tokens("minilm", sentences, 256) / 1e9


def _library(material: Material, count: int) -> Any:
    def run(number: int) -> Outcome:
        del number
        encoder = material.loader.sentence_encoder(material.model("minilm"))
        sentences = sentences_of(material, count)
        start = time.perf_counter()
        rows = encoder.encode(sentences)
        return Outcome(time.perf_counter() - start, gflop(material, sentences), np.asarray(rows))

    return run


def _ours(material: Material, count: int, dtype: str) -> Any:
    def run(number: int) -> Outcome:
        del number
        embedder = Embedder(material.loader.sentence_encoder(material.model("minilm"), dtype=dtype))
        sentences = sentences_of(material, count)
        with freed_memory_kept():
            start = time.perf_counter()
            rows = embedder(sentences)
            seconds = time.perf_counter() - start
        return Outcome(seconds, gflop(material, sentences), rows)

    return run


def _probe(material: Material, train_size: int, *, second: bool) -> Any:
    """Return what times the phase ``encode`` of a probe whose cache is empty, or that of the run after it."""
    method = next(spec for spec in METHODS if spec.name == "linear-probe")

    def phase(cache: EmbeddingCache, number: int) -> Any:
        job = material.job("minilm", number + 1, train_size, cache=cache, enabled=True)
        with freed_memory_kept():
            train(method, job)
        return next(phase for phase in job.clock.phases if phase.name == "encode")

    def run(number: int) -> Outcome:
        cache = EmbeddingCache(Path(material.scratch) / f"cache-{second}-{number}", 2**30)
        found = phase(cache, number)
        if second:
            found = phase(cache, number)
        if found.cached != second:
            raise RuntimeError(f"the cache was {'not ' if second else ''}used")
        return Outcome(found.seconds)

    return run
