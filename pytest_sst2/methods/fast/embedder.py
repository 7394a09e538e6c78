"""Sentence embeddings like those of ``SentenceTransformer.encode()``, from batches with little padding."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.methods.fast.length_batching import length_batches, tokens_per_batch
from pytest_sst2.models.max_length import encoder_limit
from pytest_sst2.results.probe_sentences import probe_sentences

# Batch size for encoders whose inputs are not token ids.
_SENTENCES_PER_BATCH = 128
# The default of ``SentenceTransformer.encode()``.
DEFAULT_BATCH = 32
# Sentences prepared at once. They are padded to the longest, so more of them would need much memory.
_PREPARED_AT_ONCE = 1024


def default_prompt(encoder: Any) -> str:
    """Return the text that a ``SentenceTransformer`` puts before each sentence; empty if there is none."""
    return (getattr(encoder, "prompts", None) or {}).get(getattr(encoder, "default_prompt_name", None)) or ""


@dataclass
class Embedder:
    """A frozen ``SentenceTransformer``: maps n sentences to an array of shape (n, d), float32.

    Batches are divided into ``parts`` to save memory. Without ``by_length``, ``encode()`` forms them as it does by
    default.
    """

    encoder: Any
    parts: int = 1
    by_length: bool = True

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the embeddings in the order of the sentences; shape (0, 0) without sentences."""
        if not self.by_length and len(sentences):
            return self._encode(sentences, DEFAULT_BATCH)
        ids = self.token_ids(sentences) if len(sentences) else []
        if ids is None:
            return self._encode(sentences, _SENTENCES_PER_BATCH // self.parts)
        return self.embed(sentences, [len(tokens) for tokens in ids])

    def embed(
        self, sentences: Sequence[str], lengths: Sequence[int], step: Callable[[int, int], None] | None = None
    ) -> np.ndarray:
        """Return the embeddings of sentences with known ``lengths`` in tokens.

        ``step`` is called after each batch with the number of batches done and in total.
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
        """Size of the largest batch on the encoder's device, in tokens."""
        return tokens_per_batch(self.encoder.device.type, self.parts)

    def token_ids(self, sentences: Sequence[str]) -> list[list[int]] | None:
        """Return each sentence's token ids as the encoder reads them; None if its inputs are not token ids."""
        prompt = default_prompt(self.encoder)
        sentences = [prompt + sentence for sentence in sentences]
        if self._reads_tokenizer_output:
            return self._tokenized(sentences)
        all_ids: list[list[int]] = []
        for start in range(0, len(sentences), _PREPARED_AT_ONCE):
            ids = self.prepared_ids(sentences[start : start + _PREPARED_AT_ONCE])
            if ids is None:
                return None
            all_ids += ids
        return all_ids

    def prepared_ids(self, sentences: Sequence[str]) -> list[list[int]] | None:
        """Return the token ids of the inputs that the encoder prepares; None if it prepares other inputs."""
        prepare = getattr(self.encoder, "preprocess", None) or self.encoder.tokenize  # renamed within version 5
        inputs = prepare(list(sentences))
        if "input_ids" not in inputs or not {"attention_mask", "offsets"} & inputs.keys():
            return None
        if "offsets" in inputs:  # of a StaticEmbedding: where each sentence begins
            flat, starts = inputs["input_ids"].tolist(), inputs["offsets"].tolist()
            return [flat[start:end] for start, end in itertools.pairwise([*starts, len(flat)])]
        read = inputs["attention_mask"].bool()
        ends = read.sum(dim=1).cumsum(dim=0).tolist()
        flat = inputs["input_ids"][read].tolist()
        return [flat[start:end] for start, end in itertools.pairwise([0, *ends])]

    @functools.cached_property
    def _reads_tokenizer_output(self) -> bool:
        """Whether the tokenizer alone gives the encoder's inputs. It takes a quarter of the time of preparing them."""
        is_standard = hasattr(self.encoder.tokenizer, "convert_ids_to_tokens")
        return is_standard and self._tokenized(probe_sentences()) == self.prepared_ids(probe_sentences())

    def _tokenized(self, sentences: Sequence[str]) -> list[list[int]]:
        limit = encoder_limit(self.encoder)
        truncation = {} if limit is None else {"truncation": True, "max_length": limit}
        ids: list[list[int]] = self.encoder.tokenizer(
            list(sentences), return_attention_mask=False, return_token_type_ids=False, **truncation
        )["input_ids"]
        return ids

    def _encode(self, sentences: Sequence[str], batch_size: int) -> np.ndarray:
        embedded = self.encoder.encode(
            list(sentences), batch_size=batch_size, convert_to_tensor=True, show_progress_bar=False
        )
        return np.asarray(embedded.float().cpu().numpy(), dtype=np.float32)
