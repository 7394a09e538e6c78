"""Fingerprint of a cell: small values that show in which step a change of its accuracy began.

``instruments.fingerprint_recorder`` records them while a cell runs; ``compare.drift`` compares two of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_sst2.results.training_steps import FixedBatch, TrainingSteps

# Parts of a model that are initialised at random before every training.
HEADS = frozenset({"classifier", "pre_classifier", "score", "head"})
# Tokens of each probe sentence that are kept as text: enough to show where two tokenizers differ.
KEPT_PIECES = 32
# The value of ``Fingerprint.prediction_token_ids`` for those of ``TokensFingerprint.ids``.
SAME_TOKEN_IDS = "same"  # noqa: S105 # nosec B105 - no password
# Steps of a tensor's projections per length of the tensor: they reach eight times the length.
SKETCH_STEPS = 2**12
# In ``RowSketches.tokens``, the lowest bit of a row's number of tokens, the largest number, and the bits of the digest.
LENGTH_BIT, MOST_TOKENS, DIGEST_BITS = 10, 63, 8
# The largest allowed change of a probability when the classifier predicts twice; half precision stays below it.
REPEAT_TOLERANCE = 1e-3
# A regression that reached its tolerance ends with a gradient well below this; one that was stopped early, well above.
CONVERGED_GRADIENT = 1e-3


@dataclass(frozen=True)
class RowsFingerprint:
    """Training or evaluation rows.

    Attributes:
        sentences: Digest of the sorted sentences.
        labels: The labels in the order of the sorted sentences, one bit each, in base64.
        order: Digest of the sentences in the order used.
        count: Number of rows.
        distinct: Number of different sentences.
        normalized_digest: Digest of the sorted sentences without spaces, case and accents.
        blocks: A digest of two bytes for each of up to 64 blocks of consecutive rows, in base64; up to 1,024 if
            ``RowSketches.tokens`` does not show single rows. Empty if not recorded.
        characters: Number of characters of all sentences; None if not recorded.
        non_ascii: Number of characters beyond ASCII; None if not recorded.
    """

    sentences: str
    labels: str
    order: str
    count: int
    distinct: int
    normalized_digest: str = ""
    blocks: str = ""
    characters: int | None = None
    non_ascii: int | None = None


@dataclass(frozen=True)
class RowSketches:
    """What the encoder read and returned for the rows of a cell. A field is empty if it was not recorded.

    Attributes:
        tokens: Two bytes for each evaluation row, in base64: its number of tokens, at most 63, in the upper six bits,
            and a digest of their ids in the lowest eight; zero if the row was not read.
        all_tokens: Digest of the token ids of all evaluation rows; empty if not recorded.
        embeddings: The embedding of each evaluation row, projected onto one random direction: 16-bit integers in units
            of ``unit``, compressed, in base64. A fine-tuned model's embedding is the mean of its hidden states after
            training, of the last layer; only the first 1,024 rows have one.
        unit: The value of the integer 1.
        train_tokens: A digest of two bytes for each of up to 64 blocks of consecutive training rows.
        train_embeddings: For each block, the sum of the rows' projections with random signs, as float32.
    """

    tokens: str = ""
    all_tokens: str = ""
    embeddings: str = ""
    unit: float = 0.0
    train_tokens: str = ""
    train_embeddings: str = ""


@dataclass(frozen=True)
class TensorSketches:
    """The weights of an encoder, tensor by tensor, in the order of its state dict.

    Attributes:
        names: One line per tensor: name and shape, such as ``pooler.dense.bias 384``; compressed, in base64.
        digests: Four bytes per tensor: two of a digest of the values as float32, two of one of the values in any
            order.
        grids: Two bytes per tensor, compressed: the number of bits of the mantissa in use, and how many of 255 sampled
            values are distinct, 0 if all are equal.
        sketch: Ten bytes per tensor: its Euclidean length as float32, and three projections onto random signs as 16-bit
            integers in units of 1/``SKETCH_STEPS`` of the length.
    """

    names: str
    digests: str
    grids: str
    sketch: str


@dataclass(frozen=True)
class ModuleSketches:
    """The outputs of an encoder's modules for four of the probe sentences, each alone, in the order of completion.

    Attributes:
        names: One line per module, such as ``encoder.layer.0.attention.self``; compressed, in base64.
        sketch: Five float32 per module: length and one random projection of its first input, then length and two
            projections of its output; compressed, in base64. Those of the input are NaN if it is no array.
    """

    names: str
    sketch: str


@dataclass(frozen=True)
class TokensFingerprint:
    """Tokens of the probe sentences.

    Attributes:
        tokenizer: The tokenizer's class.
        vocabulary: Number of tokens in its vocabulary.
        ids: Digests of the token ids of each sentence, 4 bytes each, in base64. The ids are those that the encoder
            read, including a prompt, or those of the tokenizer if the encoder's could not be observed.
        lengths: Number of tokens of each sentence, including special tokens.
        pieces: The first tokens of each sentence as text, compressed, in base64.
    """

    tokenizer: str
    vocabulary: int
    ids: str
    lengths: Sequence[int]
    pieces: str = ""


@dataclass(frozen=True)
class EncoderFingerprint:
    """The encoder as loaded, before any training.

    Attributes:
        dtype: Type of the weights, such as ``float32``.
        autocast: Type that autocast computes in; empty if it is off or could not be observed.
        attention: Implementation of attention, such as ``sdpa``; empty if unknown.
        parts: From the name of a part (a layer, the embeddings, the head) to a digest of its weights.
        sketch: The embeddings of 32 probe sentences (64 before 0.4.0), each projected onto the same two random
            directions, in base64. Such a projection approximately keeps cosines and lengths (Johnson and
            Lindenstrauss 1984, Contemporary Mathematics 26).
        length: Mean Euclidean length of the embeddings.
        dimensions: Number of dimensions of an embedding.
        effective_dtype: The narrowest type that stores every weight without loss.
        config: Values of the model's config that may affect what it computes, and the dropout rates of its modules.
        pooling: The pooling of the last hidden states that reproduces the embeddings: ``mean``, ``cls``, ``max`` or
            ``lasttoken``; empty if none does.
        hidden: The mean last hidden state of each sentence, projected as in ``sketch``.
        nondeterminism: Largest distance between two embeddings of the same sentence in the same batch, as a share of
            the mean length.
        batch_sensitivity: Largest distance between the embeddings of a sentence alone and in a batch, as a share of
            the mean length.
        tensors: The weights, tensor by tensor; None if not recorded.
        modules: The outputs of the modules; None if not recorded.
    """

    dtype: str
    attention: str
    parts: Mapping[str, str]
    sketch: str
    length: float
    dimensions: int
    effective_dtype: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    pooling: str = ""
    hidden: str = ""
    nondeterminism: float = 0.0
    batch_sensitivity: float = 0.0
    autocast: str = ""
    tensors: TensorSketches | None = None
    modules: ModuleSketches | None = None


@dataclass(frozen=True)
class TrainingFingerprint:
    """The optimisation; None in a field that a method does not have.

    Attributes:
        steps: Number of optimiser steps or iterations.
        last_gradient: Largest absolute gradient of the mean loss at the end.
        first_loss: Training loss of the first batch.
        first_gradient_norm: Norm of the gradient of that loss, before clipping.
        learning_rate: The highest learning rate of any step, as read from the optimiser.
        order: Digest of the training rows in the order that the optimiser used; after a colon, digest of the sorted
            rows.
        mean_learning_rate: Mean learning rate of all steps.
        optimizer: Class and options of the optimiser in its first step.
        first_update: Root mean square of the change that the first step made to the smaller tensors.
        first_batch: Digests of the token ids and of the labels in the model's first training batch, independent of
            their order and separated by a colon; empty if the batch could not be observed.
        autocast: Type that autocast computed that batch in; empty if it was off, None if it could not be observed.
        trained: Parts of the encoder, as in ``EncoderFingerprint.parts``, whose weights the training changed.
        weights: Digest of all weights of the encoder after training, including the head.
        fixed_batch: What the training computes for a fixed batch before its first step; None if not recorded.
        watched: The steps of a training by batches; None if not recorded.
    """

    steps: int
    last_gradient: float | None = None
    first_loss: float | None = None
    first_gradient_norm: float | None = None
    learning_rate: float | None = None
    order: str | None = None
    mean_learning_rate: float | None = None
    optimizer: Mapping[str, Any] = field(default_factory=dict)
    first_update: float | None = None
    first_batch: str = ""
    autocast: str | None = None
    trained: Sequence[str] | None = None
    weights: str = ""
    fixed_batch: FixedBatch | None = None
    watched: TrainingSteps | None = None


@dataclass(frozen=True)
class Fingerprint:
    """The fingerprint of one cell.

    Attributes:
        fixed_sentences: Digest of the probe sentences. Fingerprints of different sentences are not compared.
        train: The training rows.
        evaluation: The evaluation rows.
        logits: Log-odds that the trained classifier predicts for 16 probe sentences (64 before 0.4.0): float32, in
            base64.
        repeat_max_diff: The largest change of a predicted probability when the classifier predicts again.
        tokens: None for methods without a tokenizer.
        encoder: None for methods without an encoder.
        training: None for methods without an optimisation.
        prediction_token_ids: Digests of the token ids that the trained classifier read for these sentences, as in
            ``TokensFingerprint.ids`` but sorted; ``same`` if they are those, empty if they could not be observed.
        rows: What the encoder read and returned for the rows; None if not recorded.
        overlap: Number of evaluation sentences that are also training sentences; None if not recorded.
    """

    fixed_sentences: str
    train: RowsFingerprint
    evaluation: RowsFingerprint
    logits: str
    repeat_max_diff: float
    tokens: TokensFingerprint | None = None
    encoder: EncoderFingerprint | None = None
    training: TrainingFingerprint | None = None
    prediction_token_ids: str = ""
    rows: RowSketches | None = None
    overlap: int | None = None

    @property
    def trains_in_steps(self) -> bool:
        """Whether an optimiser trained in random steps, as fine-tuning does and a probe does not."""
        return self.training is not None and self.training.first_loss is not None
