"""A transformer with a two-class head as a classifier."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.methods.base import Job
from pytest_sst2.methods.fast.length_batching import length_batches, tokens_per_batch
from pytest_sst2.models.max_length import max_input_length

# Sentences of a batch that is not formed by length.
_PLAIN = 32


@dataclass
class SequenceClassifier:
    """A transformer with a two-class head that maps n sentences to the probabilities of the positive class.

    Attributes:
        model: The transformer.
        tokenizer: Its tokenizer.
        max_length: Longest input in tokens. Longer sentences are truncated.
        dtype: float32, or the type to compute in under autocast.
        parts: Number of parts into which batches are divided to save memory.
        by_length: Whether batches have sentences of similar length; otherwise 32 sentences in their order.
    """

    model: Any
    tokenizer: Any
    max_length: int
    dtype: str
    parts: int = 1
    by_length: bool = True

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the probabilities of the positive class, shape (n,), float64; batched by length to save padding."""
        import torch

        probabilities = np.empty(len(sentences), dtype=np.float64)
        with self._inference(), self._autocast():
            for batch, inputs in self._batches(sentences):
                logits = self.model(**inputs).logits
                probabilities[batch] = torch.softmax(logits.double(), dim=-1)[:, 1].cpu().numpy()
        return probabilities

    def embed(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the mean of the encoder's last hidden states, shape (n, d), float32, without the head."""
        rows: dict[int, np.ndarray] = {}
        with self._inference():
            for batch, inputs in self._batches(sentences):
                hidden = self._encoder_states(inputs).float()
                mask = inputs["attention_mask"].unsqueeze(-1)
                rows |= zip(batch, ((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy(), strict=True)
        return np.array([rows[index] for index in range(len(sentences))])

    def _encoder_states(self, inputs: Any) -> Any:
        """Return the encoder's last hidden states; T5 does not run as a whole without inputs of its decoder."""
        if not self.model.config.is_encoder_decoder:
            return self.model.base_model(**inputs)[0]
        encoder = self.model.base_model.get_encoder()
        return encoder(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[0]

    def tokenize(self, sentences: Sequence[str], **options: Any) -> Any:
        """Return the tokenizer's output, n lists of token ids in ``input_ids``, truncated to ``max_length``."""
        return self.tokenizer(list(sentences), truncation=True, max_length=self.max_length, **options)

    @property
    def tokens_per_batch(self) -> int:
        """Size of the largest batch without gradients on the model's device, in tokens."""
        return tokens_per_batch(self.model.device.type, self.parts)

    def _batches(self, sentences: Sequence[str]) -> Iterator[tuple[list[int], Any]]:
        """Yield batches of similar length: the indices of their sentences, and the model's inputs on its device."""
        encoded = self.tokenize(sentences)
        lengths = [len(ids) for ids in encoded["input_ids"]]
        plain = (list(range(first, min(first + _PLAIN, len(lengths)))) for first in range(0, len(lengths), _PLAIN))
        for batch in length_batches(lengths, self.tokens_per_batch) if self.by_length else plain:
            rows = {name: [values[index] for index in batch] for name, values in encoded.items()}
            yield batch, self.tokenizer.pad(rows, return_tensors="pt").to(self.model.device)

    @contextlib.contextmanager
    def _inference(self) -> Iterator[None]:
        """Switch dropout and gradients off for the body."""
        import torch

        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(training)

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        import torch

        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.model.device.type, dtype=getattr(torch, self.dtype))


def load_classifier(job: Job, *, needs_head: bool = False) -> SequenceClassifier:
    """Load a model with a two-class head (phase ``load``), and record its fingerprints.

    Raises:
        Sst2Error: The model cannot be loaded; or it ``needs_head``, and its checkpoint has none.
    """
    if job.frozen is not None:
        job.frozen.release()
    with job.clock.phase("load"):
        tokenizer = job.loader.tokenizer(job.encoder)
        model = job.loader.sequence_classifier(job.encoder, needs_head=needs_head)
    _limit_inputs(tokenizer, model)
    # A decoder's head reads the last token before the padding, and finds it by the config's padding token.
    model.config.pad_token_id = tokenizer.pad_token_id
    length = _max_length(job, tokenizer, model)
    classifier = SequenceClassifier(model, tokenizer, length, job.recipe.dtype, job.parts, job.is_fast)
    job.recorder.record_tokenizer(tokenizer, lambda sentences: classifier.tokenize(sentences)["input_ids"])
    job.recorder.record_encoder(model, classifier.embed, (job.encoder, job.parts, job.path, length))
    return classifier


def _limit_inputs(tokenizer: Any, model: Any) -> None:
    """Make the tokenizer return only inputs that the model accepts. DistilBERT, for example, has no token types."""
    parameters = inspect.signature(model.forward).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in parameters]


def _max_length(job: Job, tokenizer: Any, model: Any) -> int:
    """Return the smallest of the maximum lengths of recipe, tokenizer and model.

    A tokenizer without a configuration reports 1e30 tokens, and a model's position table may be longer than its
    longest input.
    """
    positions = max_input_length(model) or getattr(model.config, "max_position_embeddings", None)
    usable = positions if isinstance(positions, int) and positions > 0 else job.recipe.max_length
    return int(min(job.recipe.max_length, tokenizer.model_max_length, usable))
