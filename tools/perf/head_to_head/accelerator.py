"""On a CUDA device: reduced precision, TF32 and ``torch.compile``, against the card's own matrix rate."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pytest_sst2.methods.fast.embedder import Embedder
from tools.perf.head_to_head.contest import Contest, Contestant, Outcome, matrix_rate
from tools.perf.head_to_head.encoding import gflop, sentences_of
from tools.perf.head_to_head.material import Material
from tools.perf.head_to_head.training import defaults, ours

_LARGE = (8192, 8192, 8192)


def contests(material: Material, sentences: int, train_size: int) -> list[Contest]:
    """Return the contests of an accelerator; each outcome's result says tokens per second and the share of the rate."""
    return [
        Contest(
            f"embed {sentences:,} sentences on the accelerator",
            Contestant("encode()", _encode(material, sentences, ours=False)),
            (
                Contestant("float32", _encode(material, sentences)),
                Contestant("float32 in TF32", _encode(material, sentences, tf32=True)),
                Contestant("bfloat16", _encode(material, sentences, dtype="bfloat16")),
                Contestant("bfloat16, torch.compile", _encode(material, sentences, dtype="bfloat16", compiled=True)),
            ),
        ),
        Contest(
            f"fine-tune minilm, {train_size:,} rows on the accelerator",
            Contestant("Trainer defaults", defaults(material, "minilm", train_size)),
            (
                Contestant("float32", ours(material, "minilm", train_size)),
                Contestant("bfloat16", ours(material, "minilm", train_size, dtype="bfloat16")),
            ),
        ),
    ]


def _encode(
    material: Material,
    count: int,
    *,
    dtype: str = "float32",
    ours: bool = True,
    tf32: bool = False,
    compiled: bool = False,
) -> Any:
    def run(number: int) -> Outcome:
        del number
        encoder = material.loader.sentence_encoder(material.model("minilm"), dtype=dtype)
        if compiled:
            encoder.compile(dynamic=True)
        embed = Embedder(encoder) if ours else encoder.encode
        sentences = sentences_of(material, count)
        with _precision("high" if tf32 else "highest"):
            embed(sentences)  # warm: kernels are chosen, and compiled, in the first pass
            torch.cuda.synchronize()
            start = time.perf_counter()
            rows = embed(sentences)
            torch.cuda.synchronize()
            seconds = time.perf_counter() - start
            rate = matrix_rate(dtype, "cuda", _LARGE)
        tokens = material.tokens("minilm", sentences, 256)
        share = gflop(material, sentences) / seconds / rate
        print(f"{dtype}: {tokens / seconds:,.0f} tokens/s, {share:.1%} of {rate / 1000:,.0f} TFLOP/s")
        return Outcome(seconds, result=np.asarray(rows, dtype=np.float32))

    return run


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
