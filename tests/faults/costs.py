"""Faults of time and memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.faults.harness import PROBES, TUNE, World, fault
from tests.faults.injecting import around


@fault("encoding 1.5 times as slow", PROBES, "slower", r"^(encode|predict|all phases) \d", rounds=5)
def _slow(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = original(*args, **kwargs)
        time.sleep(0.5 * (time.perf_counter() - start))
        return result

    around(patch, SentenceTransformer, "encode", wrapper)


@fault("training 1.5 times as slow", (TUNE,), "slower", r"^(train|all phases) \d", rounds=3)
def _slow_training(patch: pytest.MonkeyPatch, world: World) -> None:
    from transformers import Trainer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = original(*args, **kwargs)
        time.sleep(0.5 * (time.perf_counter() - start))
        return result

    around(patch, Trainer, "training_step", wrapper)


@fault("memory doubled while encoding", PROBES, "more-memory", r"^peak memory \d")
def _heavy(patch: pytest.MonkeyPatch, world: World) -> None:
    import psutil
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, self: Any, sentences: Sequence[str], **kwargs: Any) -> Any:
        # Only for batches: filling so much memory takes time.
        size = psutil.Process().memory_info().rss if len(sentences) > 30 else 0
        ballast = np.ones(size, dtype=np.uint8)
        try:
            return original(self, sentences, **kwargs)
        finally:
            del ballast

    around(patch, SentenceTransformer, "encode", wrapper)
