"""Batches of sentences of similar length, which need little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# Activations of a batch of this size fit into the processor's cache (docs/performance.md). The size also moves
# embeddings by 1e-7, so it is part of a Record's settings.
_CPU_TOKENS_PER_BATCH = 1024
# An accelerator needs larger batches to be busy.
_ACCELERATOR_TOKENS_PER_BATCH = 32768
# Training batches per window that is sorted by length: enough for little padding, and few enough that the batches of
# a large data set differ between epochs.
WINDOW_BATCHES = 100
# Share of the largest batch that may be padding.
_PADDING = 0.025


def tokens_per_batch(device: str, parts: int = 1) -> int:
    """Return the size in tokens of the largest batch without gradients, if batches are divided into ``parts``."""
    return (_CPU_TOKENS_PER_BATCH if device == "cpu" else _ACCELERATOR_TOKENS_PER_BATCH) // parts


def length_batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Yield the indices of all sentences in batches of similar length in tokens, the longest first.

    A batch has up to ``most_tokens``, padding included; a longer sentence is a batch of its own. A small share of the
    largest batch may be padding, so that sentences of rare lengths share batches.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batch[0]] if batch else 0
        padded = (len(batch) + 1) * longest
        if batch and (padded > most_tokens or padded - tokens - lengths[index] > _PADDING * most_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch


class TrainingBatches:
    """A batch sampler for training: every row once per epoch, rows of similar length in one batch, in random order.

    Each epoch shuffles the rows, sorts them by length within windows of ``WINDOW_BATCHES`` batches and shuffles the
    batches. One batch per epoch may be smaller. For ``torch.utils.data.DataLoader(batch_sampler=...)``.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the batches of the next epoch as row numbers."""
        shuffled = self._random.permutation(len(self._lengths))
        window = WINDOW_BATCHES * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), window):
            rows = shuffled[start : start + window]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]
        for number in self._random.permutation(len(batches)):
            yield batches[number].tolist()
