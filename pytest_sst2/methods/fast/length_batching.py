"""Batches of sentences of like length, which need little padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

# A batch this large keeps its activations in the processor's cache and its matrix products near the machine's rate
# (docs/performance.md). It also moves embeddings by 1e-7, so that the size is part of a Record's settings.
_CPU_TOKENS_PER_BATCH = 1024
# An accelerator needs more work at once to be busy.
_ACCELERATOR_TOKENS_PER_BATCH = 32768
# So many training batches are drawn at random before they are sorted: enough that neighbours are of nearly one length,
# few enough that the same sentences do not meet in every epoch of a large data set.
WINDOW_BATCHES = 100


def tokens_per_batch(device: str, parts: int = 1) -> int:
    """Return the largest batch for work without gradients, in tokens.

    Args:
        device: ``cpu``, or an accelerator.
        parts: Into how many a batch is divided, for want of memory.
    """
    return (_CPU_TOKENS_PER_BATCH if device == "cpu" else _ACCELERATOR_TOKENS_PER_BATCH) // parts


def length_batches(lengths: Sequence[int], most_tokens: int, padding: float = 0.025) -> Iterator[list[int]]:
    """Give the indices of all sentences in batches of like length, the longest first.

    Args:
        lengths: Tokens of each sentence.
        most_tokens: The largest batch, padding included; a longer sentence goes alone.
        padding: Share of the largest batch that may be padding, so that rare lengths need not go alone.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        longest = lengths[batch[0]] if batch else 0
        padded = (len(batch) + 1) * longest
        if batch and (padded > most_tokens or padded - tokens - lengths[index] > padding * most_tokens):
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch


class TrainingBatches:
    """Batches of a fixed size for training: every row once an epoch, neighbours in length together, in random order.

    Each epoch shuffles the rows, sorts them by length within windows of ``WINDOW_BATCHES`` batches and shuffles the
    batches. A sampler for ``torch.utils.data.DataLoader(batch_sampler=...)``.

    Args:
        lengths: Tokens of each row.
        batch_size: Rows of a batch; the last of an epoch's batches may be smaller.
        seed: Decides every epoch's order.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(self._lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        """Give the batches of the next epoch, as row numbers."""
        shuffled = self._random.permutation(len(self._lengths))
        window = WINDOW_BATCHES * self.batch_size
        batches: list[np.ndarray] = []
        for start in range(0, len(shuffled), window):
            rows = shuffled[start : start + window]
            rows = rows[np.argsort(self._lengths[rows], kind="stable")]
            batches += [rows[first : first + self.batch_size] for first in range(0, len(rows), self.batch_size)]
        for number in self._random.permutation(len(batches)):
            yield batches[number].tolist()
