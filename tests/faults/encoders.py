"""Faults of the encoder: weights, dtype, arithmetic."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import pytest

from tests.faults.harness import ENCODERS, LINEAR, PROBES, TUNE, World, fault
from tests.faults.injecting import around, copied, model_loaded, with_json


@fault(
    "encoder loaded in float16 although float32 was asked for",
    PROBES,
    "named",
    r"encoder loaded in float16, was float32",
    replays="weights in the checkpoint's own type (transformers 5)",
)
def _float16(patch: pytest.MonkeyPatch, world: World) -> None:
    model_loaded(patch, lambda model: model.half())


@fault(
    "encoder loaded in bfloat16 although float32 was asked for",
    (LINEAR, TUNE),
    "named",
    r"encoder loaded in bfloat16, was float32",
    replays="weights in the checkpoint's own type (transformers 5)",
)
def _bfloat16(patch: pytest.MonkeyPatch, world: World) -> None:
    model_loaded(patch, lambda model: model.bfloat16())


@fault(
    "weights rounded to bfloat16 on the way and kept as float32",
    ENCODERS,
    "named",
    r"weights .*bfloat16",
    replays="weights in the checkpoint's own type (transformers 5)",
)
def _rounded_weights(patch: pytest.MonkeyPatch, world: World) -> None:
    model_loaded(patch, lambda model: model.bfloat16().float())


@fault(
    "last encoder layer re-initialised after loading",
    ENCODERS,
    "named",
    r"weights as loaded differ in \d+ of \d+ tensors.*far from the earlier values.*layer\.\d+",
)
def _last_layer(patch: pytest.MonkeyPatch, world: World) -> None:
    model_loaded(patch, lambda model: _drawn_anew(_layers(model)[-1]))


def _layers(model: Any) -> Any:
    return model.base_model.encoder.layer


def _drawn_anew(module: Any) -> None:
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        for weight in module.parameters():
            weight.normal_(0, 0.5 if weight.ndim == 1 else 0.2)


@fault(
    "whole model returned with random weights",
    ENCODERS,
    "regressed",
    r"weights as loaded differ in \d+ of \d+ tensors.*far from the earlier values",
    replays="random weights for custom subclasses (transformers#46620)",
)
def _random_model(patch: pytest.MonkeyPatch, world: World) -> None:
    model_loaded(patch, _drawn_anew)


@fault("last encoder layer lost", ENCODERS, "named", r"missing: \d+ tensors of \S+layer\.\d+")
def _lost_layer(patch: pytest.MonkeyPatch, world: World) -> None:
    def drop(model: Any) -> None:
        model.base_model.encoder.layer = _layers(model)[:-1]

    model_loaded(patch, drop)


@fault(
    "another checkpoint under the same name", ENCODERS, "named", r"another checkpoint \(sha256 \w+, was sha256 \w+\)"
)
def _other_checkpoint(patch: pytest.MonkeyPatch, world: World) -> World:
    import torch
    from safetensors.torch import load_file, save_file

    folder = copied(world)
    path = folder / "model.safetensors"
    tensors = load_file(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and tensor.ndim > 1:
                tensors[name] = tensor + 0.5 * tensor.std() * torch.randn_like(tensor)
    path.unlink()
    save_file(tensors, path, metadata={"format": "pt"})
    return dataclasses.replace(world, model=folder)


@fault("activation function changed in the model's config", ENCODERS, "named", r"hidden_act relu, was gelu")
def _activation(patch: pytest.MonkeyPatch, world: World) -> World:
    return with_json(world, "config.json", lambda config: config.update(hidden_act="relu"))


@fault(
    "activation function changed inside the library",
    (LINEAR,),
    "named",
    r"first difference is in \S+intermediate_act_fn",
)
def _silent_activation(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers.activations import GELUActivation

    patch.setattr(GELUActivation, "forward", lambda self, input: torch.nn.functional.relu(input))


@fault("dropout doubled in the model's config", (TUNE,), "named", r"hidden_dropout_prob 0\.4, was 0\.1")
def _more_dropout(patch: pytest.MonkeyPatch, world: World) -> World:
    return with_json(world, "config.json", lambda config: config.update(hidden_dropout_prob=0.4))


@fault(
    "float32 matrix products in TF32 precision (inputs rounded to 10 bits)",
    ENCODERS,
    "named",
    r"lower precision",
    replays="TF32 matmul switched (torch 1.12)",
)
def _tf32(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    def rounded(original: Any, inputs: Any, weight: Any, bias: Any = None) -> Any:
        return original(_ten_bits(inputs), _ten_bits(weight), bias)

    around(patch, torch.nn.functional, "linear", rounded)


def _ten_bits(tensor: Any) -> Any:
    """Round float32 to 10 bits of mantissa, as in TF32; gradients are those of the unrounded values."""
    import torch

    if tensor.dtype != torch.float32:
        return tensor
    bits = tensor.detach().view(torch.int32)
    kept = ((bits + 0x1000) & ~0x1FFF).view(torch.float32)
    return tensor + (kept - tensor.detach())


@fault("embeddings rounded to 10 bits", PROBES, "named", r"lower precision")
def _rounded_embeddings(patch: pytest.MonkeyPatch, world: World) -> None:
    from sentence_transformers import SentenceTransformer

    around(patch, SentenceTransformer, "encode", lambda original, *args, **kwargs: _ten_bits(original(*args, **kwargs)))


@fault(
    "arithmetic under autocast to bfloat16 without a word",
    ENCODERS,
    "named",
    r"encoder computes under autocast to bfloat16",
)
def _autocast(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import BertModel

    def wrapper(original: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            outputs = original(*args, **kwargs)
        for name, value in outputs.items():
            outputs[name] = value.float()
        return outputs

    around(patch, BertModel, "forward", wrapper)


@fault("padding attended to in the encoder", ENCODERS, "named", r"depend on .*other sentences.*padding")
def _padding_attended(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import BertModel

    def wrapper(original: Any, self: Any, *args: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        mask = None if attention_mask is None else torch.ones_like(attention_mask)
        return original(self, *args, attention_mask=mask, **kwargs)

    around(patch, BertModel, "forward", wrapper)


@fault("positions off by one", (LINEAR,), "named", r"first difference is the input of \S+position_embeddings")
def _positions(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from transformers import BertModel

    def wrapper(original: Any, self: Any, *args: Any, input_ids: Any = None, **kwargs: Any) -> Any:
        kwargs["position_ids"] = torch.arange(input_ids.shape[1]).sub(1).clamp(min=0).expand_as(input_ids)
        return original(self, *args, input_ids=input_ids, **kwargs)

    around(patch, BertModel, "forward", wrapper)


@fault("layers in reverse order", (LINEAR,), "named", r"with one another's values: \d+ tensors")
def _reversed_layers(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch

    def turn(model: Any) -> None:
        model.base_model.encoder.layer = torch.nn.ModuleList(list(_layers(model))[::-1])

    model_loaded(patch, turn)


@fault("query and key of every layer swapped", (LINEAR,), "named", r"with one another's values: .*query.*key")
def _swapped(patch: pytest.MonkeyPatch, world: World) -> None:
    # Swap query and key: the attention scores of a pair of tokens change places.
    def swap(model: Any) -> None:
        for layer in _layers(model):
            attention = layer.attention.self
            attention.query, attention.key = attention.key, attention.query

    model_loaded(patch, swap)


@fault("encoder quantised to int8", (LINEAR,), "named", r"encoder loaded in .*qint8")
def _quantised(patch: pytest.MonkeyPatch, world: World) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    def wrapper(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.ao.quantization.quantize_dynamic(self, {torch.nn.Linear}, inplace=True)

    around(patch, SentenceTransformer, "__init__", wrapper)
