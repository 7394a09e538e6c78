"""Compare a loaded encoder's tensors with those of the files that were verified, whose digest the record keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import quoted

# Modules whose tensors are computed from their config.
_COMPUTED = "WordWeights"
_POOLER = "pooler"


def refuse_other_tensors(
    name: str, encoder: Any, weight_files: Iterable[Path], reloaded: Callable[[Any], Iterable[Any]]
) -> None:
    """Refuse an encoder with a tensor whose values are not those of a tensor in the verified files.

    Names are not compared, because the libraries rename tensors. Two kinds of tensors can differ: those of a pooler
    that the files lack, which no output depends on, and those that transformers computes when it loads an encoder, such
    as sinusoidal positions.

    Args:
        name: The model's name.
        encoder: A ``SentenceTransformer``.
        weight_files: The verified files.
        reloaded: Returns the model's encoders as transformers loads them from the verified folders in a dtype. Called
            only if a tensor isn't in the files.

    Raises:
        Sst2Error: There is such a tensor.
    """
    computed = tuple(key for key, module in encoder.named_modules() if type(module).__name__ == _COMPUTED)
    loaded = {
        key: tensor
        for key, tensor in encoder.state_dict().items()
        if tensor.is_floating_point() and not key.startswith(tuple(f"{prefix}." for prefix in computed))
    }
    dtypes = {tensor.dtype for tensor in loaded.values()}
    verified = dict(_verified(weight_files, dtypes))
    others = [key for key, tensor in loaded.items() if _digest(tensor) not in verified]
    if not any(_POOLER in key for key in verified.values()):
        others = [key for key in others if _POOLER not in key]
    if others:
        models = [model for dtype in dtypes for model in reloaded(dtype)]
        known = {_digest(tensor) for model in models for tensor in model.state_dict().values()}
        others = [key for key in others if _digest(loaded[key]) not in known]
    if others:
        raise Sst2Error(
            f"model {name!r}: {len(others)} of the {len(loaded)} tensors of the loaded encoder (first: "
            f"{quoted(others[0])}) are not in the weight files that were verified, so another file was loaded. Save "
            "the model again with sentence-transformers."
        )


def _verified(weight_files: Iterable[Path], dtypes: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Yield the digest, in each dtype, and the name of every tensor of the files."""
    from safetensors import safe_open

    for path in weight_files:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                tensor = file.get_tensor(key)
                yield from ((_digest(tensor.to(dtype)), key) for dtype in dtypes)


def _digest(tensor: Any) -> str:
    """Return the SHA-256 of a tensor's values. The shape is not included: the libraries flatten some tensors."""
    import torch

    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy()).hexdigest()
