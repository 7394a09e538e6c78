"""Frozen sentence embeddings: what ``SentenceTransformer.encode()`` returns, from batches without padding."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pytest_sst2.methods.fast.length_batching import length_batches, tokens_per_batch
from pytest_sst2.results.probe_sentences import fixed_sentences

# Inputs that are no token ids go by the number of sentences.
_SENTENCES_PER_BATCH = 128
# So many sentences are prepared at once: padded to the longest, they stay small.
_PREPARED_AT_ONCE = 1024


class Embedder:
    """A frozen ``SentenceTransformer``: from n sentences to an array of shape (n, d), float32.

    Args:
        encoder: The ``SentenceTransformer``.
        parts: Into how many a batch is divided, for want of memory.
    """

    def __init__(self, encoder: Any, parts: int = 1) -> None:
        self.encoder = encoder
        self.parts = parts

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings, in the order of the sentences; of none, an array of shape (0, 0)."""
        ids = self.token_ids(sentences) if len(sentences) else []
        if ids is None:
            return self._encode(sentences, _SENTENCES_PER_BATCH // self.parts)
        return self.embed(sentences, [len(each) for each in ids])

    def embed(
        self, sentences: Sequence[str], lengths: Sequence[int], step: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Return the embeddings of sentences whose lengths in tokens are known.

        Args:
            sentences: Any number.
            lengths: One a sentence.
            step: Told after each batch how many are done, of how many.
        """
        batches = list(length_batches(lengths, self.tokens_per_batch))
        embedded = []
        for done, batch in enumerate(batches, 1):
            embedded.append(self._encode([sentences[index] for index in batch], len(batch)))
            if step is not None:
                step(done, len(batches))
        rows = np.empty((len(sentences), embedded[0].shape[1] if embedded else 0), dtype=np.float32)
        for batch, of_batch in zip(batches, embedded, strict=True):
            rows[batch] = of_batch
        return rows

    @property
    def tokens_per_batch(self) -> int:
        """The largest batch on the encoder's device, in tokens."""
        return tokens_per_batch(self.encoder.device.type, self.parts)

    def token_ids(self, sentences: Sequence[str]) -> list[list[int]] | None:
        """Return each sentence's token ids as the encoder reads them, None where it reads something else."""
        if self._reads_what_its_tokenizer_gives:
            return self._tokenized(sentences)
        found: list[list[int]] = []
        for start in range(0, len(sentences), _PREPARED_AT_ONCE):
            ids = self.prepared_ids(sentences[start : start + _PREPARED_AT_ONCE])
            if ids is None:
                return None
            found += ids
        return found

    def prepared_ids(self, sentences: Sequence[str]) -> list[list[int]] | None:
        """Return the token ids in what the encoder itself prepares of sentences, None where there are none in it."""
        prepare = getattr(self.encoder, "preprocess", None) or self.encoder.tokenize  # renamed within version 5
        inputs = prepare(list(sentences))
        if "input_ids" not in inputs or "attention_mask" not in inputs:
            return None
        read = inputs["attention_mask"].bool()
        ends = read.sum(dim=1).cumsum(dim=0).tolist()
        together = inputs["input_ids"][read].tolist()
        return [together[start:end] for start, end in itertools.pairwise([0, *ends])]

    @functools.cached_property
    def _reads_what_its_tokenizer_gives(self) -> bool:
        """Whether the tokenizer may be asked alone, which takes a quarter of the time that preparing inputs takes."""
        if not hasattr(self.encoder.tokenizer, "convert_ids_to_tokens"):
            return False
        return self._tokenized(fixed_sentences()) == self.prepared_ids(fixed_sentences())

    def _tokenized(self, sentences: Sequence[str]) -> list[list[int]]:
        limit = self.encoder.max_seq_length
        cut = {} if limit is None else {"truncation": True, "max_length": limit}
        found: list[list[int]] = self.encoder.tokenizer(
            list(sentences), return_attention_mask=False, return_token_type_ids=False, **cut
        )["input_ids"]
        return found

    def _encode(self, sentences: Sequence[str], batch_size: int) -> np.ndarray:
        embedded = self.encoder.encode(
            list(sentences), batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(embedded.float().cpu().numpy(), dtype=np.float32)
