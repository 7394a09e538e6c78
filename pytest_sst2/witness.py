"""Witness: takes a cell's fingerprints while the cell runs, from the very objects it works with."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_sst2.fingerprint import (
    CourseFingerprint,
    EncoderFingerprint,
    Fingerprint,
    RowsFingerprint,
    TokensFingerprint,
    packed_bits,
    packed_floats,
)
from pytest_sst2.fixed_sentences import fixed_sentences, fixed_sentences_digest

if TYPE_CHECKING:
    from pytest_sst2.splits import Examples
    from pytest_sst2.timing import PhaseClock

PHASE = "fingerprint"
_DIRECTIONS = 2
# Fixed sentences of like length go together: one of them has two hundred words, most have ten.
_BATCH_SIZE = 16
# A probability of 0 or 1 has no log-odds; what no float32 softmax tells from it stands for it.
_LEAST_PROBABILITY = 1e-12


class Witness:
    """What the methods of one round let it see.

    Args:
        clock: Its work is phase ``fingerprint`` there, which is counted to nothing else.
        awake: False in later rounds: the same cell leaves the same fingerprints.
    """

    def __init__(self, clock: PhaseClock, *, awake: bool = True) -> None:
        self._clock = clock
        self.awake = awake
        self.tokens: TokensFingerprint | None = None
        self.encoder: EncoderFingerprint | None = None
        self.course: CourseFingerprint | None = None

    def saw_tokenizer(self, tokenizer: Any, tokenize: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """Take the fingerprint of a tokenizer.

        Args:
            tokenizer: The tokenizer itself.
            tokenize: From sentences to their token ids, cut to length as the method cuts them.
        """
        if self.awake:
            with self._clock.phase(PHASE):
                self.tokens = tokens_fingerprint(tokenizer, tokenize)

    def saw_encoder(self, module: Any, embed: Callable[[Sequence[str]], np.ndarray]) -> None:
        """Take the fingerprint of an encoder as it was loaded.

        Args:
            module: A ``torch.nn.Module`` with all its weights, a head that is to be trained included.
            embed: From n sentences to an array of shape (n, d).
        """
        if self.awake:
            with self._clock.phase(PHASE):
                self.encoder = encoder_fingerprint(module, embed)

    def saw_course(self, course: CourseFingerprint) -> None:
        """Keep how the optimisation went."""
        self.course = course

    def fingerprint(
        self, train: Examples, evaluation: Examples, predict: Callable[[Sequence[str]], np.ndarray]
    ) -> Fingerprint:
        """Ask the trained classifier twice for the fixed sentences and return the whole fingerprint."""
        first, second = (_of_fixed_sentences(predict) for _ in range(2))
        clipped = np.clip(first, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        return Fingerprint(
            fixed_sentences=fixed_sentences_digest(),
            train=rows_fingerprint(train),
            evaluation=rows_fingerprint(evaluation),
            logits=packed_floats(np.log(clipped / (1 - clipped)).tolist()),
            second_pass=round(float(np.abs(first - second).max()), 6),
            tokens=self.tokens,
            encoder=self.encoder,
            course=self.course,
        )


@functools.lru_cache(maxsize=16)  # the cells of a run share their rows
def rows_fingerprint(rows: Examples) -> RowsFingerprint:
    """Return the fingerprint of training or evaluation rows."""
    pairs = sorted(zip(rows.sentences, rows.labels.tolist(), strict=True))
    return RowsFingerprint(
        sentences=_digest(sentence for sentence, _ in pairs),
        labels=packed_bits([label for _, label in pairs]),
        order=_digest(rows.sentences),
        count=len(rows),
        distinct=len(set(rows.sentences)),
    )


def tokens_fingerprint(
    tokenizer: Any, tokenize: Callable[[Sequence[str]], Sequence[Sequence[int]]]
) -> TokensFingerprint:
    """Return the fingerprint of what a tokenizer makes of the fixed sentences."""
    ids = [[int(token) for token in sentence] for sentence in tokenize(fixed_sentences())]
    digests = b"".join(hashlib.sha256(repr(sentence).encode()).digest()[:4] for sentence in ids)
    return TokensFingerprint(
        tokenizer=type(tokenizer).__name__,
        vocabulary=len(tokenizer),
        ids=base64.b64encode(digests).decode(),
        lengths=tuple(map(len, ids)),
    )


def encoder_fingerprint(module: Any, embed: Callable[[Sequence[str]], np.ndarray]) -> EncoderFingerprint:
    """Return the fingerprint of an encoder with its weights, and of what it makes of the fixed sentences."""
    embeddings = _of_fixed_sentences(embed)
    # The legacy generator's stream is frozen by numpy's policy, so the directions are the same in every version.
    directions = np.random.RandomState(0).standard_normal((embeddings.shape[1], _DIRECTIONS))
    return EncoderFingerprint(
        dtype=", ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in module.parameters()})),
        attention=_attention(module),
        parts=weight_parts(module),
        sketch=packed_floats((embeddings @ directions).ravel().tolist()),
        length=round(float(np.linalg.norm(embeddings, axis=1).mean()), 6),
        dimensions=embeddings.shape[1],
    )


def _of_fixed_sentences(function: Callable[[Sequence[str]], np.ndarray]) -> np.ndarray:
    """Return what ``function`` makes of the fixed sentences, asked for a few of like length at a time."""
    sentences = fixed_sentences()
    order = sorted(range(len(sentences)), key=lambda index: len(sentences[index]))
    batches = [order[start : start + _BATCH_SIZE] for start in range(0, len(order), _BATCH_SIZE)]
    rows = np.concatenate([np.asarray(function([sentences[i] for i in batch]), dtype=np.float64) for batch in batches])
    return rows[np.argsort(order)]


def weight_parts(module: Any) -> Mapping[str, str]:
    """Return a digest of the weights of each part of a model: a layer, the embeddings, the pooler, the head.

    A part's digest does not depend on what its tensors are called, since names change from release to release.
    """
    tensors: dict[str, list[bytes]] = {}
    for name, weight in module.state_dict().items():
        data = weight.detach().float().cpu().contiguous().numpy()
        tensors.setdefault(_part(name), []).append(hashlib.sha256(data.tobytes()).digest())
    return {part: hashlib.sha256(b"".join(sorted(each))).hexdigest()[:8] for part, each in tensors.items()}


def _part(name: str) -> str:
    """Return the part a tensor belongs to: ``layer 3``, or the first word of its name that says anything."""
    if layer := re.search(r"\.(?:layers?|albert_layers|h|block)\.(\d+)\.", f".{name}"):
        return f"layer {layer[1]}"
    words = [word for word in name.split(".") if not word.isdigit()]
    for known in ("embeddings", "pooler", "classifier", "pre_classifier", "score", "head"):
        if known in words:
            return known
    return "other" if len(words) < 3 else words[-3]


def _attention(module: Any) -> str:
    for part in module.modules():
        if implementation := getattr(getattr(part, "config", None), "_attn_implementation", None):
            return str(implementation)
    return ""


def _digest(sentences: Any) -> str:
    digest = hashlib.sha256()
    for sentence in sentences:
        digest.update(sentence.encode() + b"\n")
    return digest.hexdigest()[:16]


class OrderDigest:
    """Digest of the first ``limit`` training rows in the order an optimiser sees them."""

    def __init__(self, limit: int) -> None:
        self._digest = hashlib.sha256()
        self._left = limit

    def add(self, token_ids: Sequence[int]) -> None:
        """Take the next row; those beyond the limit are passed over."""
        if self._left:
            self._left -= 1
            self._digest.update(repr(list(token_ids)).encode())

    def __str__(self) -> str:
        return self._digest.hexdigest()[:16]
