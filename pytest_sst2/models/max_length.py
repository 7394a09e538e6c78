"""Find the maximum input length of a model. Longer inputs would exceed its position embeddings."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

# Attribute names of position and token embeddings. A module with positions but without tokens encodes images.
_POSITIONS = ("position_embeddings", "wpe", "embed_positions", "position_embedding", "positions_embed")
_TOKENS = ("word_embeddings", "wte", "embed_tokens", "token_embedding", "tokens_embed", "embeddings")


def max_input_length(model: Any) -> int | None:
    """Return the maximum number of input tokens, special tokens included, or None without a limit.

    Models with computed positions (rotary, relative) have no limit. Models like RoBERTa start counting positions after
    the padding token's id. Therefore their table and ``max_position_embeddings`` exceed the limit by that number.

    Args:
        model: A transformer, or a module that contains transformers.
    """
    limits = list(_limits(model))
    if not limits:
        return None
    configs = (getattr(module, "config", None) for module in model.modules())
    declared = (getattr(config, "max_position_embeddings", None) for config in configs)
    return min([*limits, *(value for value in declared if isinstance(value, int) and value > 0)])


def encoder_limit(encoder: Any) -> int | None:
    """Return the length in tokens to which a ``SentenceTransformer`` cuts its inputs; None if it reads them whole."""
    limit = getattr(encoder, "max_seq_length", None)
    return None if limit is None or math.isinf(limit) else limit


def limit_input(encoder: Any, max_length: int | None) -> None:
    """Let a ``SentenceTransformer`` cut its inputs to ``max_length`` tokens, its own limit or its number of positions.

    The smallest of the three counts. Static embeddings read whole sentences.
    """
    candidates = (encoder_limit(encoder), max_length, max_input_length(encoder))
    limits = [limit for limit in candidates if limit is not None]
    if limits and min(limits) != candidates[0]:
        with contextlib.suppress(AttributeError):  # a StaticEmbedding
            encoder.max_seq_length = int(min(limits))


def _limits(model: Any) -> Iterator[int]:
    from torch.nn import Embedding

    def first(module: Any, names: tuple[str, ...]) -> Any:
        attributes = (getattr(module, name, None) for name in names)
        return next((table for table in attributes if isinstance(table, Embedding)), None)

    for module in model.modules():
        table = first(module, _POSITIONS)
        if table is not None and first(module, _TOKENS) is not None:
            padding = getattr(module, "padding_idx", None)
            offset = padding + 1 if isinstance(padding, int) else 0
            yield table.num_embeddings - offset
