"""A word embedding reduced, while it is trained, to the rows that occur in the training sentences.

BERT's has 30,522 rows, 2,000 phrases use three thousand of them. Adam without weight decay leaves a row alone whose
gradient has always been zero (its moments are zero, and so is its step), so the others need no gradient, no moments
and no step. What is learnt is the same, for half of the memory that an optimiser's step goes through in a small model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# With more of its rows in use, a table is not worth the detour.
_WORTHWHILE = 0.8


class UsedRows(nn.Embedding):
    """Some rows of an embedding, looked up by the numbers they have in the whole.

    Args:
        whole: The embedding; it is changed only by ``write_back``.
        rows: Numbers of the rows, ascending, shape (k,).
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
        """Return the embeddings of tokens, which must be among the rows; shape of ``input`` with d added."""
        return super().forward(self.position[input])

    @torch.no_grad()
    def write_back(self, whole: nn.Embedding) -> None:
        """Put the rows, as they are now, into the embedding they came from."""
        whole.weight[self.rows] = self.weight


class Reduction:
    """Puts ``UsedRows`` in the place of a model's word embedding and takes it out again.

    Args:
        model: The model.
        whole: Its word embedding; None leaves the model as it is.
        rows: Numbers of the rows to train, ascending.
    """

    def __init__(self, model: nn.Module, whole: nn.Embedding | None, rows: Sequence[int] = ()) -> None:
        self._model, self._whole = model, whole
        self.used = UsedRows(whole, torch.tensor(rows, device=whole.weight.device)) if whole is not None else None

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Train with the rows in use; afterwards the whole embedding is back, with what they have learnt."""
        self._reduce()
        try:
            yield
        finally:
            self._restore()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """Inside ``applied``: put the whole embedding back for the body, in which any token may be asked for."""
        self._restore()
        try:
            yield
        finally:
            self._reduce()

    def _reduce(self) -> None:
        if self._whole is not None and self.used is not None:
            _replace(self._model, self._whole, self.used)

    def _restore(self) -> None:
        if self._whole is not None and self.used is not None:
            self.used.write_back(self._whole)
            _replace(self._model, self.used, self._whole)


def reduction_to(model: Any, sentences: Iterable[Sequence[int]]) -> Reduction:
    """Return what reduces a model's word embedding to the tokens of its training sentences.

    That is nothing where it would not be exact (the table is shared with another layer, rescales its rows or its
    gradients, or is frozen), or not worth it.

    Args:
        model: A transformers model.
        sentences: Token ids of every sentence that it will be trained on.
    """
    whole = _word_embedding(model)
    if whole is None:
        return Reduction(model, None)
    tokens = {token for sentence in sentences for token in sentence}
    if whole.padding_idx is not None:
        tokens.add(whole.padding_idx)
    pad = getattr(model.config, "pad_token_id", None)
    tokens |= {pad} if isinstance(pad, int) and 0 <= pad < whole.num_embeddings else set()
    if len(tokens) > _WORTHWHILE * whole.num_embeddings:
        return Reduction(model, None)
    return Reduction(model, whole, sorted(tokens))


def _word_embedding(model: Any) -> nn.Embedding | None:
    """Return a model's word embedding if its rows are independent of each other, else None."""
    try:
        whole = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    if type(whole) is not nn.Embedding or not whole.weight.requires_grad:
        return None
    if whole.max_norm is not None or whole.scale_grad_by_freq or whole.sparse:
        return None
    owners = [module for module in model.modules() for weight in module._parameters.values() if weight is whole.weight]
    return whole if len(owners) == 1 and not _has_hooks(whole) else None


def _has_hooks(module: nn.Module) -> bool:
    return any(
        getattr(module, name, None)
        for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    )


def _replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module in another's place, wherever the model holds it."""
    new.train(old.training)
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if child is old:
                setattr(parent, name, new)
