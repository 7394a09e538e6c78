"""Faults between hidden states and embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_sst2.methods.fast.embedder import Embedder
from tests.faults.harness import LINEAR, PROBES, TORCH, World, fault
from tests.faults.injecting import around, normalising, with_json


@fault("pooling mean → cls", PROBES, "named", r"pooling cls, was mean")
def _cls_module(patch: pytest.MonkeyPatch, world: World) -> World:
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    return with_json(world, "1_Pooling/config.json", lambda config: config.update(modes))


@fault("pooling mean → cls inside the library, where no setting shows it", PROBES, "named", r"pooling cls, was mean")
def _cls_silently(patch: pytest.MonkeyPatch, world: World) -> None:
    _pooled(patch, lambda tokens, mask: tokens[:, 0])


@fault("pooling mean → max inside the library", (LINEAR,), "named", r"pooling max, was mean")
def _max_silently(patch: pytest.MonkeyPatch, world: World) -> None:
    _pooled(patch, lambda tokens, mask: tokens.masked_fill(mask.unsqueeze(-1) == 0, -1e9).max(dim=1).values)


@fault("padding counted in mean pooling", (LINEAR,), "named", r"padding")
def _padding_pooled(patch: pytest.MonkeyPatch, world: World) -> None:
    _pooled(patch, lambda tokens, mask: tokens.mean(dim=1))


def _pooled(patch: pytest.MonkeyPatch, pool: Callable[[Any, Any], Any]) -> None:
    from sentence_transformers.models import Pooling

    patch.setattr(Pooling, "_forward_padded", lambda self, tokens, mask, *_, **__: [pool(tokens, mask)])


@fault(
    "normalisation dropped: its module is gone",
    PROBES,
    "named",
    r"normalisation dropped|modules Transformer \+ Pooling, was Transformer \+ Pooling \+ Normalize",
    ground=normalising,
    replays="similarity 0.9 became 0.6 (sentence-transformers#511)",
)
def _no_normalise_module(patch: pytest.MonkeyPatch, world: World) -> World:
    return with_json(world, "modules.json", lambda modules: modules.pop())


@fault(
    "normalisation dropped inside the library, where no setting shows it",
    PROBES,
    "named",
    r"normalisation dropped",
    ground=normalising,
    replays="similarity 0.9 became 0.6 (sentence-transformers#511)",
)
def _no_normalise_silently(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers.models import Normalize

    patch.setattr(Normalize, "forward", lambda self, features: features)


@fault("embeddings cut to half their dimensions", PROBES, "named", r"embeddings have \d+ dimensions, had \d+")
def _truncated(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        return original(self, *args, truncate_dim=self.get_embedding_dimension() // 2, **kwargs)

    around(patch, SentenceTransformer, "encode", wrapper)


@fault(
    "embeddings handed back in another order than the sentences", PROBES, "regressed", r"other sentences|another order"
)
def _disordered(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, self: Any, sentences: Any, **kwargs: Any) -> Any:
        by_length = np.argsort([-len(sentence) for sentence in sentences], kind="stable")
        return original(self, sentences, **kwargs)[by_length.tolist()]

    around(patch, SentenceTransformer, "encode", wrapper)


@fault("dropout left on in the frozen encoder", PROBES, "named", r"dropout")
def _dropout_encoder(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    patch.setattr(SentenceTransformer, "eval", lambda self: self.train(True))


@fault("random noise in every embedding", (LINEAR,), "named", r"embedded twice.*random")
def _noise(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        embeddings = original(*args, **kwargs)
        return embeddings + 0.01 * embeddings.norm(dim=1, keepdim=True) * torch.randn_like(embeddings)

    around(patch, SentenceTransformer, "encode", wrapper)


@fault("embeddings that are no numbers", (LINEAR,), "incomparable", r"no number this time: .*NaN or infin")
def _not_a_number(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        embeddings = original(*args, **kwargs).clone()
        embeddings[0, 0] = float("nan")
        return embeddings

    around(patch, SentenceTransformer, "encode", wrapper)


@fault(
    "features normalised when predicting, not when training",
    (TORCH,),
    "named",
    r"answers the probe sentences differently .* but no evaluation row",
)
def _normalised_late(patch: pytest.MonkeyPatch, world: World) -> None:
    from pytest_sst2.methods import torch_probe

    trained: list[bool] = []

    def fit(original: Any, *args: Any) -> Any:
        trained.append(True)
        return original(*args)

    def embed(original: Any, self: Any, sentences: Any) -> Any:
        features = original(self, sentences)
        return features / np.linalg.norm(features, axis=1, keepdims=True) / 4 if trained else features

    around(patch, torch_probe, "fit_linear", fit)
    around(patch, Embedder, "__call__", embed)


@fault("embeddings normalised inside the library", (LINEAR,), "named", r"now normalised")
def _normalised(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        return original(*args, normalize_embeddings=True, **kwargs)

    around(patch, SentenceTransformer, "encode", wrapper)


@fault("embeddings quantised to one bit", (LINEAR,), "named", r"no module's output differs, but embeddings differ")
def _one_bit(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    around(patch, SentenceTransformer, "encode", lambda original, *args, **kwargs: original(*args, **kwargs).sign())
