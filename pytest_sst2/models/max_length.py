"""How long an input a model has positions for: what is longer is looked up beyond the end of a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# What models call their table of positions, and the one of tokens beside it; a table of an image's patches has none.
_POSITIONS = ("position_embeddings", "wpe", "embed_positions", "position_embedding", "positions_embed")
_TOKENS = ("word_embeddings", "wte", "embed_tokens", "token_embedding", "tokens_embed", "embeddings")


def longest_input(model: Any) -> int | None:
    """Return the most tokens that a model can be given, special ones included; None where no table limits them.

    Models that work out positions (rotary, relative) have none. RoBERTa and its kin count from behind the number of
    the padding token on, so that their table, and ``max_position_embeddings`` with it, is that much too long.

    Args:
        model: A transformer, or a module that has some within it.
    """
    limits = list(_limits(model))
    if not limits:
        return None
    configs = (getattr(module, "config", None) for module in model.modules())
    declared = (getattr(config, "max_position_embeddings", None) for config in configs)
    return min(*limits, *(value for value in declared if isinstance(value, int) and value > 0), limits[0])


def _limits(model: Any) -> Iterator[int]:
    from torch.nn import Embedding

    def first(module: Any, names: tuple[str, ...]) -> Any:
        found = (getattr(module, name, None) for name in names)
        return next((table for table in found if isinstance(table, Embedding)), None)

    for module in model.modules():
        table = first(module, _POSITIONS)
        if table is not None and first(module, _TOKENS) is not None:
            padding = getattr(module, "padding_idx", None)
            counted_from = padding + 1 if isinstance(padding, int) else 0
            yield table.num_embeddings - counted_from
