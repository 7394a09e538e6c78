"""Training of a word embedding that is trimmed to the rows that occur in the training rows.

BERT's word embedding has 30,522 rows, and 2,000 phrases use 3,000 of them. Adam without weight decay never changes a
row whose gradient is always zero, so the other rows need no gradient, no moments and no step. The result is the same,
and an optimiser step of a small model touches half the memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# Trimming does not pay off if a larger share of the rows is used.
_WORTHWHILE = 0.8


class TrimmedEmbedding(nn.Embedding):
    """Some rows of an embedding, ascending, looked up by their row numbers in the whole embedding.

    Only ``write_back`` changes the whole embedding.
    """

    position: Tensor

    def __init__(self, whole: nn.Embedding, rows: Tensor) -> None:
        super().__init__(len(rows), whole.embedding_dim, _weight=whole.weight.detach()[rows].clone())
        position = torch.full((whole.num_embeddings,), -1, device=rows.device)
        position[rows] = torch.arange(len(rows), device=rows.device)
        self.register_buffer("position", position, persistent=False)
        self.rows = rows
        if whole.padding_idx is not None and int(position[whole.padding_idx]) >= 0:
            self.padding_idx = int(position[whole.padding_idx])

    def forward(self, input: Tensor) -> Tensor:
        """Return the embeddings of tokens, each of which must be one of the rows; shape of ``input`` plus (d,)."""
        return super().forward(self.position[input])

    @torch.no_grad()
    def write_back(self, whole: nn.Embedding) -> None:
        """Copy the rows back into the whole embedding."""
        whole.weight[self.rows] = self.weight


class EmbeddingTrimmer:
    """Replaces a model's whole word embedding by a ``TrimmedEmbedding``, and puts it back.

    Without a whole embedding the model stays unchanged, and ``embedding`` is None.
    """

    def __init__(self, model: nn.Module, whole: nn.Embedding | None, rows: Sequence[int] = ()) -> None:
        self._model, self._whole = model, whole
        self.embedding = (
            TrimmedEmbedding(whole, torch.tensor(rows, device=whole.weight.device)) if whole is not None else None
        )

    @contextlib.contextmanager
    def trimmed(self) -> Iterator[None]:
        """Trim the embedding for the body. Afterwards the whole embedding is back, with the trained rows."""
        self._trim()
        try:
            yield
        finally:
            self._restore()

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Inside ``trimmed``, restore the whole embedding for the body, which may look up any token."""
        self._restore()
        try:
            yield
        finally:
            self._trim()

    def _trim(self) -> None:
        if self._whole is not None and self.embedding is not None:
            _replace(self._model, self._whole, self.embedding)

    def _restore(self) -> None:
        if self._whole is not None and self.embedding is not None:
            self.embedding.write_back(self._whole)
            _replace(self._model, self.embedding, self._whole)


def embedding_trimmer(model: Any, sentences: Iterable[Sequence[int]] | None) -> EmbeddingTrimmer:
    """Return a trimmer of a transformers model's word embedding to the tokens of its training rows.

    It leaves the model unchanged without rows, or if the result would differ or little would be saved. The result
    would differ if the embedding is shared with another layer, rescales its rows or gradients, or is frozen.
    """
    whole = _word_embedding(model)
    if whole is None or sentences is None:
        return EmbeddingTrimmer(model, None)
    tokens = {token for sentence in sentences for token in sentence}
    if whole.padding_idx is not None:
        tokens.add(whole.padding_idx)
    pad = getattr(model.config, "pad_token_id", None)
    tokens |= {pad} if isinstance(pad, int) and 0 <= pad < whole.num_embeddings else set()
    if len(tokens) > _WORTHWHILE * whole.num_embeddings:
        return EmbeddingTrimmer(model, None)
    return EmbeddingTrimmer(model, whole, sorted(tokens))


def _word_embedding(model: Any) -> nn.Embedding | None:
    """Return a model's word embedding if its rows are independent of each other and trainable, else None."""
    try:
        whole = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return None
    if whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    if whole._forward_hooks or whole._forward_pre_hooks or whole._backward_hooks or whole._backward_pre_hooks:
        return None
    owners = [module for module in model.modules() for weight in module._parameters.values() if weight is whole.weight]
    return whole if len(owners) == 1 else None


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Replace a module in all of its parents."""
    new.train(old.training)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
