"""Fingerprint of a model's weights: a digest per part, one of all weights, and the narrowest type that stores them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_sst2.instruments.tensor_sketch import KnownSketches, TensorSketcher
from pytest_sst2.results.fingerprint import HEADS, TensorSketches
from pytest_sst2.utils.hashing import short_digest


@dataclass(frozen=True)
class WeightsFingerprint:
    """The weights of a model.

    ``parts`` maps the name of a layer, the embeddings, the pooler or the head to a short digest. It does not depend on
    the names of the tensors, because library releases rename them. ``effective_dtype`` is the narrowest type that
    stores every weight without loss, except those of a new head; empty without weights. ``digest`` includes names,
    types and shapes, ``body`` is the same without the head; empty if some weights cannot be read. ``tensors`` has a
    sketch of each tensor, if it was asked for.
    """

    parts: Mapping[str, str]
    effective_dtype: str
    digest: str
    body: str = ""
    tensors: TensorSketches | None = None


def weights_fingerprint(
    module: Any, *, sketched: bool = False, known: KnownSketches | None = None
) -> WeightsFingerprint:
    """Return the fingerprint of the weights of a ``torch.nn.Module``, with ``tensors`` if ``sketched``.

    Sketches of ``known`` tensors are not computed again; new ones are added to it.
    """
    sketcher = TensorSketcher(known) if sketched else None
    tensors: dict[str, list[bytes]] = {}
    all_tensors, body, is_whole = hashlib.sha256(), hashlib.sha256(), True
    narrow = {"bfloat16", "float16"}
    buffers = {name for name, _ in module.named_buffers()}
    for name, weight in module.state_dict().items():
        # Quantised tensors are left out; ``EncoderFingerprint.dtype`` names their type.
        if not hasattr(weight, "numel") or not weight.is_floating_point():
            is_whole = is_whole and name in buffers
            continue
        plain = _plain(weight).detach().float().cpu().contiguous()
        digest = hashlib.sha256(plain.numpy()).digest()
        if sketcher is not None:
            sketcher.add(name, plain.numpy(), digest)
        tensors.setdefault(part_of(name), []).append(digest)
        line = f"{name} {weight.dtype} {tuple(weight.shape)} {digest.hex()}\n".encode()
        all_tensors.update(line)
        if part_of(name) not in HEADS:
            body.update(line)
            narrow -= {dtype for dtype in narrow if not _stores(dtype, plain)}
    parts = {part: short_digest(b"".join(sorted(digests)), 8) for part, digests in tensors.items()}
    sketches = sketcher.sketches() if sketcher is not None else None
    effective = min(narrow, default="float32") if tensors else ""
    return WeightsFingerprint(parts, effective, all_tensors.hexdigest(), body.hexdigest() if is_whole else "", sketches)


def _plain(weight: Any) -> Any:
    """Return a tensor that numpy can read: torchao's quantised weights are computed back."""
    import torch

    return weight if type(weight) in (torch.Tensor, torch.nn.Parameter) else weight.dequantize()


def _stores(dtype: str, tensor: Any) -> bool:
    """Return whether a narrower type stores a float32 tensor without loss."""
    blocks = tensor.view(-1).split(2**18)  # limits the memory
    return all(bool(((block.bfloat16() if dtype == "bfloat16" else block.half()) == block).all()) for block in blocks)


def part_of(name: str) -> str:
    """Return the part of the model that a tensor belongs to: ``layer 3``, ``embeddings`` or ``other`` for example."""
    if layer := re.search(r"\.(?:layers?|albert_layers|h|block)\.(\d+)\.", f".{name}"):
        return f"layer {layer[1]}"
    words = [word for word in name.split(".") if not word.isdigit()]
    for known in ("embeddings", "pooler", *sorted(HEADS)):
        if known in words:
            return known
    return "other" if len(words) < 3 else words[-3]
