"""Test the sketches of rows: what a transformers model read and computed for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytest_sst2.instruments.row_sketch import RowWatch, row_sketches, sketch_rows
from pytest_sst2.results.packing import unpacked_bytes

ROWS = [[5, 6, 7], [8, 9], [5, 6, 7], [3]]


def model() -> Any:
    import torch

    class Base(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = torch.nn.Embedding(20, 4)

        def forward(self, input_ids: Any, attention_mask: Any) -> tuple[Any]:
            return (self.table(input_ids),)

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_model = Base()

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model()


def read(watched: Any, rows: list[list[int]]) -> RowWatch:
    import torch

    watch, longest = RowWatch(), max(map(len, rows))
    padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with watch.watching(watched), torch.inference_mode():
        watched.base_model(input_ids=padded, attention_mask=mask)
    return watch


def test_rows_are_found_whatever_the_order_and_padding_of_the_batch() -> None:
    watched = model()
    rows, turned = (read(watched, order).rows(ROWS) for order in (ROWS, [*ROWS[::-1], [1] * 9]))
    assert rows is not None
    assert turned is not None
    assert rows.digests == turned.digests
    assert rows.lengths == [3, 2, 3, 1]
    assert np.allclose(rows.projections, turned.projections, atol=1e-6)
    assert rows.projections[0] == rows.projections[2] != rows.projections[1]


def test_a_row_that_was_read_otherwise_has_no_tokens() -> None:
    rows = read(model(), [[5, 6], [8, 9]]).rows(ROWS)
    assert rows is not None
    assert rows.lengths == [0, 2, 0, 0]
    assert RowWatch().rows(ROWS) is None


def test_a_row_takes_a_few_bytes() -> None:
    ids = [[101, *range(200 + row, 220 + row), 102] for row in range(872)]
    found = row_sketches(sketch_rows(ids, np.random.default_rng(0).normal(size=(872, 384))), None)
    assert found is not None
    assert len(found.tokens) + len(found.embeddings) < 5.2 * 872
    steps = np.frombuffer(unpacked_bytes(found.embeddings, compressed=True), "<i2")
    assert abs(steps).max() < 16_383
