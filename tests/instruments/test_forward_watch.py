"""Test what is collected while a model runs."""

from __future__ import annotations

import torch

from pytest_sst2.instruments.forward_watch import watch_embedding_tables


class Positions(torch.nn.Embedding):
    """Reads the shape of its input in place of ids, as ProphetNet's positions do."""

    def forward(self, shape: torch.Size) -> torch.Tensor:  # type: ignore[override]
        return self.weight[: shape[1]]


def test_only_tables_that_read_ids_are_collected() -> None:
    with watch_embedding_tables() as rows:
        Positions(8, 2, padding_idx=0)(torch.Size((1, 3)))
        torch.nn.Embedding(5, 2, padding_idx=0)(torch.tensor([[3, 4, 0]]))
    assert rows == {5: [[3, 4]]}
