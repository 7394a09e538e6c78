"""Hooks on the forward pass: what a model reads and computes while it embeds, predicts or trains.

Every hook is removed at the end of its context, or by ``stop``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_sst2.utils.hashing import short_digest

# Token ids of a sentence, and its last hidden states of shape (tokens, d); None if it has no tokens, or they could not
# be observed.
IdsAndStates = tuple[tuple[int, ...], np.ndarray | None]


def observable_modules(module: Any) -> Iterator[tuple[str, Any]]:
    """Yield the modules inside ``module`` with their names, except those inside a graph of ``torch.compile``.

    Hooks that are added after the compilation are ignored there, or become a part of the graph if it is compiled again.
    """
    compiled: list[str] = []
    for name, part in module.named_modules():
        if any(name.startswith(prefix) for prefix in compiled):
            continue
        is_compiled = getattr(part, "_compiled_call_impl", None) is not None
        if is_compiled or hasattr(getattr(part, "forward", None), "_torchdynamo_orig_callable"):
            compiled.append(f"{name}." if name else "")
        if name and not is_compiled:
            yield name, part


@contextlib.contextmanager
def watch_encoder(module: Any) -> Iterator[list[IdsAndStates]]:
    """Collect the token ids and the last hidden states of every sentence that the encoder embeds, without padding.

    The ``base_model`` of the module is watched, else its first child.
    """
    inner: Any = getattr(module, "base_model", None)
    if inner is None and hasattr(module, "children"):
        inner = next(iter(module.children()), None)
    sentences: list[IdsAndStates] = []

    def collect(_module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        values: dict[str, Any] = {}
        for mapping in (*args, kwargs, output):
            if isinstance(mapping, Mapping):
                values.update(mapping)
        ids, mask = values.get("input_ids"), values.get("attention_mask")
        states = values.get("token_embeddings", values.get("last_hidden_state"))
        if ids is None or mask is None or ids.shape != mask.shape:
            return
        plain: np.ndarray | None = None
        if states is not None and states.shape[:2] == ids.shape:
            plain = states.detach().float().cpu().numpy().astype(np.float64)
        for number, kept in enumerate(mask.bool().cpu()):
            row = tuple(ids[number].cpu()[kept].tolist())
            sentences.append((row, None if plain is None or not row else plain[number][kept.numpy()]))

    if not hasattr(inner, "register_forward_hook"):
        yield sentences
        return
    with inner.register_forward_hook(collect, with_kwargs=True):
        yield sentences


@contextlib.contextmanager
def watch_embedding_tables() -> Iterator[dict[int, list[list[int]]]]:
    """Collect the rows of ids that any embedding table reads, without padding, by the size of the table."""
    from torch.nn import Embedding
    from torch.nn.modules.module import register_module_forward_pre_hook

    rows_by_size: dict[int, list[list[int]]] = {}

    def collect(module: Any, inputs: tuple[Any, ...]) -> None:
        ids: Any = inputs[0] if inputs else None  # in ProphetNet a shape
        if isinstance(module, Embedding) and module.padding_idx is not None and getattr(ids, "ndim", 0) == 2:
            rows = [[token for token in row if token != module.padding_idx] for row in ids.tolist()]
            rows_by_size.setdefault(module.num_embeddings, []).extend(rows)

    with register_module_forward_pre_hook(collect):
        yield rows_by_size


@contextlib.contextmanager
def watch_autocast(module: Any) -> Iterator[list[str]]:
    """Collect the type that autocast computes in whenever the module's first linear layer runs."""
    dtypes: list[str] = []
    layer = _first_linear(module)
    if layer is None:
        yield dtypes
        return
    with layer.register_forward_pre_hook(lambda inner, _args: dtypes.append(_autocast_dtype(inner))):
        yield dtypes


class FirstBatchWatch:
    """Watches the first batch of a training.

    Attributes:
        digests: Digests of the token ids and of the labels, separated by a colon; empty if not observed.
        autocast: The type that autocast computed in; empty if it was off, None if not observed.
    """

    def __init__(self) -> None:
        self.digests = ""
        self.autocast: str | None = None
        self._handles: list[Any] = []
        self._paused = False

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing during the body."""
        self._paused = True
        try:
            yield
        finally:
            self._paused = False

    def watch(self, module: Any) -> None:
        """Watch the module until ``stop``. Only a transformers model is watched, which names its token ids."""
        if hasattr(module, "base_model") and hasattr(module, "register_forward_pre_hook"):
            self._handles.append(module.register_forward_pre_hook(self._record_batch, with_kwargs=True))
            if (layer := _first_linear(module)) is not None:
                self._handles.append(layer.register_forward_pre_hook(self._record_autocast))

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _record_autocast(self, module: Any, _args: tuple[Any, ...]) -> None:
        if module.training and self.autocast is None and not self._paused:
            self.autocast = _autocast_dtype(module)

    def _record_batch(self, module: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        ids, mask, labels = (kwargs.get(name) for name in ("input_ids", "attention_mask", "labels"))
        if (
            self._paused
            or self.digests
            or not module.training
            or ids is None
            or mask is None
            or ids.shape != mask.shape
        ):
            return
        rows = [row[kept].tolist() for row, kept in zip(ids, mask.bool(), strict=True)]
        classes = labels.tolist() if labels is not None and len(labels) == len(rows) else []
        pairs = sorted(zip(rows, classes or [0] * len(rows), strict=True))
        values = [[row for row, _ in pairs], [label for _, label in pairs] if classes else []]
        self.digests = ":".join(short_digest(repr(part)) if part else "" for part in values)


def _first_linear(module: Any) -> Any:
    """Return the first linear layer of a module; None if it has none."""
    from torch.nn import Linear

    return next((part for _, part in observable_modules(module) if isinstance(part, Linear)), None)


def _autocast_dtype(layer: Any) -> str:
    """Return the type that autocast computes in on the layer's device now; empty if it is off."""
    import torch

    device = layer.weight.device.type
    try:
        is_on = torch.is_autocast_enabled(device)
    except RuntimeError:  # this torch has no autocast for the device
        return ""
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.") if is_on else ""
