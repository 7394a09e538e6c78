"""Batches of similar length: every row once, little padding, and an order that depends on the seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_sst2.methods.fast.length_batching import WINDOW_BATCHES, TrainingBatches, length_batches, tokens_per_batch

LENGTHS = st.lists(st.integers(1, 200), max_size=300)


class TestLengthBatches:
    @given(LENGTHS, st.integers(1, 512))
    def test_every_sentence_is_in_one_batch_and_no_batch_is_too_large(self, lengths: list[int], most: int) -> None:
        batches = list(length_batches(lengths, most))
        assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
        for batch in batches:
            longest = max(lengths[index] for index in batch)
            assert len(batch) == 1 or len(batch) * longest <= most

    @given(LENGTHS)
    def test_padding_stays_within_its_share(self, lengths: list[int]) -> None:
        for batch in length_batches(lengths, 1000):
            tokens = [lengths[index] for index in batch]
            assert len(batch) * max(tokens) - sum(tokens) <= 25

    def test_equal_lengths_fill_batches_and_the_longest_go_first(self) -> None:
        assert list(length_batches([3, 9, 3, 3, 9], 9)) == [[1], [4], [0, 2, 3]]

    def test_an_accelerator_gets_larger_batches(self) -> None:
        assert tokens_per_batch("cuda") > tokens_per_batch("cpu")


class TestTrainingBatches:
    def batches(self, seed: int = 1, rows: int = 70, size: int = 8) -> TrainingBatches:
        return TrainingBatches(np.random.default_rng(0).integers(3, 60, rows).tolist(), size, seed)

    def test_an_epoch_has_every_row_once(self) -> None:
        sampler = self.batches()
        for _ in range(3):
            epoch = list(sampler)
            assert len(epoch) == len(sampler) == 9
            assert sorted(row for batch in epoch for row in batch) == list(range(70))
            assert sorted(map(len, epoch)) == [6, *[8] * 8]

    def test_the_seed_decides_the_order_and_each_epoch_has_its_own(self) -> None:
        first, again, other = self.batches(), self.batches(), self.batches(seed=2)
        epochs = [list(first), list(first)]
        assert [list(again), list(again)] == epochs
        assert epochs[0] != epochs[1]
        assert list(other) != epochs[0]

    def test_neighbours_are_of_like_length(self) -> None:
        lengths = np.random.default_rng(0).integers(3, 60, 2000)
        spread = [np.ptp(lengths[batch]) for batch in TrainingBatches(lengths.tolist(), 16, 1)]
        assert np.mean(spread) < 2

    def test_rows_of_different_windows_do_not_meet(self) -> None:
        """Windows are drawn at random, so batches of a large data set differ between epochs."""
        rows = 2 * WINDOW_BATCHES * 2
        lengths = list(range(rows))
        epoch = list(TrainingBatches(lengths, 2, 1))
        assert any(abs(one - other) > 1 for one, other in epoch)

    def test_batches_do_not_come_in_the_order_of_their_length(self) -> None:
        lengths = list(range(200))
        means = [np.mean(batch) for batch in TrainingBatches(lengths, 4, 1)]
        assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.5


@pytest.mark.parametrize("size", [1, 7, 70, 100])
def test_any_batch_size_will_do(size: int) -> None:
    sampler = TrainingBatches([5] * 70, size, 0)
    assert sum(map(len, sampler)) == 70
