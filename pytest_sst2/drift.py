"""Drift: from two Records of one cell to the causes, in words, of whatever may have moved its number.

A cell is a chain: rows, tokens, weights, embeddings, settings, training, predictions. What changes early changes all
that comes after, so each step is judged only as far as the steps before it are the same.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_sst2.fingerprint import (
    CourseFingerprint,
    EncoderFingerprint,
    Fingerprint,
    RowsFingerprint,
    TokensFingerprint,
    unpacked_bits,
    unpacked_floats,
)
from pytest_sst2.fixed_sentences import fixed_sentences, has_accents, has_capitals
from pytest_sst2.records import Record

# Share by which an embedding may move without a word. Other thread counts and other processors move float32 by 1e-6,
# TF32 and half precision by 1e-3.
EMBEDDING_TOLERANCE = 1e-4
# The first batch's loss and gradient move by a few percent where dropout draws other masks.
FIRST_LOSS_TOLERANCE = 0.05
FIRST_GRADIENT_TOLERANCE = 0.5
# Below this cosine a trained classifier is another one. Another thread count leaves 0.999.
LOGITS_COSINE = 0.98
# As in the diagnosis of a single run: what asking twice may move a probability by, how steep a minimum may be.
SECOND_PASS_TOLERANCE = 1e-3
GRADIENT_ACCEPTED = 1e-3
# Parts of a model that are drawn anew for every training.
_HEADS = frozenset({"classifier", "pre_classifier", "score", "head"})


def different_fields(before: Record, after: Record, *, same_seeds: bool = True) -> tuple[str, ...]:
    """Return what makes two records incomparable: data, split, recipe, seed or train order, each in words.

    Args:
        before: The earlier record.
        after: The later one.
        same_seeds: False where several seeds of either side are compared as draws: then seed and training rows may
            differ, and so may the rows of a held-out slice.
    """
    if before.dataset.name != after.dataset.name:
        return (f"data {after.dataset.name}, was {before.dataset.name}",)
    found = []
    if before.dataset.split != after.dataset.split:
        found.append(f"evaluation split {after.dataset.split}, was {before.dataset.split}")
    found += _different_recipe(before, after)
    if same_seeds and before.seed != after.seed:
        found.append(f"seed {after.seed}, was {before.seed}")
    if found:
        return tuple(found)
    old, new = before.fingerprint, after.fingerprint
    if not same_seeds:
        if old is None or new is None:
            return ("training and evaluation rows (a file of schema 1 does not tell one from the other)",)
        heldout = after.dataset.split == "heldout"
        return () if heldout else tuple(_different_rows("evaluation", old.evaluation, new.evaluation))
    if old is None or new is None:
        if before.dataset.digest != after.dataset.digest:
            return ("training or evaluation rows (their digests differ; a file of schema 1 does not say which)",)
        if not before.labels and not after.labels:
            return ("labels: neither file has them (both are of schema 1). Measure one of the two again",)
        return ()
    found += _different_rows("training", old.train, new.train)
    found += _different_rows("evaluation", old.evaluation, new.evaluation)
    if not found and _same_tokens(old, new) and _orders_differ(old.course, new.course):
        found.append("training order: the optimiser was given the same rows in another order")
    return tuple(found)


def _different_recipe(before: Record, after: Record) -> Iterator[str]:
    for field in dataclasses.fields(before.recipe):
        old, new = getattr(before.recipe, field.name), getattr(after.recipe, field.name)
        if field.name not in ("name", "seeds") and old != new:
            yield f"recipe {field.name} {_shown(new)}, was {_shown(old)}"


def _different_rows(which: str, old: RowsFingerprint, new: RowsFingerprint) -> Iterator[str]:
    if old.sentences != new.sentences:
        yield (
            f"{which} sentences: {_rows(new)}, were {_rows(old)}"
            if _rows(old) != _rows(new)
            else (f"{which} sentences: {_rows(old)} on both sides, but not the same")
        )
    elif old.labels != new.labels:
        bits = zip(unpacked_bits(old.labels, old.count), unpacked_bits(new.labels, new.count), strict=True)
        flipped = sum(one != other for one, other in bits)
        yield f"{which} labels: {flipped:,} of {new.count:,} sentences have the other label"
    elif old.order != new.order:
        yield f"{which} order: the same rows in another order"


def _rows(rows: RowsFingerprint) -> str:
    return f"{rows.count:,} rows, {rows.distinct:,} different"


def _orders_differ(old: CourseFingerprint | None, new: CourseFingerprint | None) -> bool:
    if old is None or new is None or old.order is None or new.order is None:
        return False
    return old.order != new.order


def drift_causes(before: Record, after: Record) -> tuple[str, ...]:
    """Return, in the order of the chain, what differs between two records of the same data and recipe.

    Of two seeds, only what does not depend on the seed is compared. Empty where nothing differs, and where one of them
    has no fingerprint (schema 1).
    """
    old, new = before.fingerprint, after.fingerprint
    if old is None or new is None:
        return ()
    causes: list[str] = []
    comparable = old.fixed_sentences == new.fixed_sentences
    if comparable and old.tokens and new.tokens:
        causes += _token_causes(old.tokens, new.tokens)
    causes += _precision_causes(before, after)
    same_seed = before.seed == after.seed
    weights = list(_weight_causes(before, after, same_seed=same_seed))
    causes += weights
    settings = list(_setting_causes(before.settings, after.settings))
    if comparable and old.encoder and new.encoder:
        same_weights = not weights and old.encoder.dtype == new.encoder.dtype
        same_tokens = _same_token_sentences(old.tokens, new.tokens)
        causes += _embedding_causes(old.encoder, new.encoder, same_tokens, same_weights, named=bool(settings))
    causes += settings
    if same_seed:
        causes += _course_causes(old.course, new.course, upstream=bool(causes))
    if new.second_pass > SECOND_PASS_TOLERANCE >= old.second_pass:
        causes.append(
            f"asked twice, the same classifier answers differently (probabilities up to {new.second_pass:.2g} apart): "
            "dropout is on while predicting, or something else is random"
        )
    if comparable and same_seed and not causes:
        causes += _logit_causes(old, new)
    return tuple(causes)


def _same_tokens(old: Fingerprint, new: Fingerprint) -> bool:
    return bool(_same_token_sentences(old.tokens, new.tokens).all())


def _same_token_sentences(old: TokensFingerprint | None, new: TokensFingerprint | None) -> np.ndarray:
    """Return an array of shape (64,): for which fixed sentences the token ids are the same."""
    if old is None or new is None:
        return np.ones(len(fixed_sentences()), dtype=bool)
    first, second = (np.frombuffer(base64.b64decode(each.ids), dtype=np.uint32) for each in (old, new))
    return np.asarray(first == second)


def _token_causes(old: TokensFingerprint, new: TokensFingerprint) -> Iterator[str]:
    same = _same_token_sentences(old, new)
    if same.all():
        return
    different = [index for index, equal in enumerate(same) if not equal]
    sentences = [fixed_sentences()[index] for index in different]
    first = sentences[0] if len(sentences[0]) <= 40 else f"{sentences[0][:39]}…"
    count = f"token ids differ for {len(different)} of {len(same)} fixed sentences"
    yield f"{count} (first: “{first}”){_token_reason(old, new, different, sentences)}"


def _token_reason(
    old: TokensFingerprint, new: TokensFingerprint, different: Sequence[int], sentences: Sequence[str]
) -> str:
    longest_before, longest = max(old.lengths), max(new.lengths)
    if longest != longest_before and all(
        max(old.lengths[index], new.lengths[index]) >= min(longest, longest_before) for index in different
    ):
        return f": sentences are cut to {longest} tokens, were {longest_before}"
    if old.vocabulary != new.vocabulary:
        return f": the tokenizer knows {new.vocabulary:,} tokens, knew {old.vocabulary:,}"
    if all(has_capitals(each) or has_accents(each) for each in sentences) and any(map(has_capitals, sentences)):
        return ": only sentences with capitals or accents are among them, so lower-casing changed"
    if all(map(has_accents, sentences)):
        return ": only sentences with accents or other scripts are among them, so the normalisation of text changed"
    return f" ({new.tokenizer}, was {old.tokenizer})" if old.tokenizer != new.tokenizer else ""


def _precision_causes(before: Record, after: Record) -> Iterator[str]:
    old, new = _encoder(before), _encoder(after)
    if old and new and old.dtype != new.dtype:
        yield f"encoder loaded in {new.dtype}, was {old.dtype}"
    if old and new and old.attention != new.attention:
        yield f"attention computed by {new.attention or 'another implementation'}, was {old.attention or 'unknown'}"
    one, other = before.environment, after.environment
    if one.matmul_precision != other.matmul_precision:
        yield f"precision of float32 matrix products {other.matmul_precision}, was {one.matmul_precision}"


def _encoder(record: Record) -> EncoderFingerprint | None:
    return record.fingerprint.encoder if record.fingerprint else None


def _weight_causes(before: Record, after: Record, *, same_seed: bool) -> Iterator[str]:
    """Give causes in the weights; loading in another type changes all of them and is named elsewhere."""
    old, new = _encoder(before), _encoder(after)
    if old is None or new is None or old.dtype != new.dtype:
        return
    everything = dict.fromkeys((*old.parts, *new.parts))
    names = [name for name in everything if old.parts.get(name) != new.parts.get(name)]
    if not same_seed:
        names = [name for name in names if name not in _HEADS]
    if not names:
        return
    if _HEADS.issuperset(names):
        yield "the new head starts from other numbers: the same seed draws differently"
        return
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    where = f"in {len(names)} of {len(everything)} parts ({shown})"
    if before.weights and after.weights and before.weights.sha256 != after.weights.sha256:
        yield f"another checkpoint ({_checkpoint(after)}, was {_checkpoint(before)}): weights differ {where}"
    else:
        yield f"weights as loaded differ {where}, although the files are the same: re-initialised, or not loaded"


def _checkpoint(record: Record) -> str:
    assert record.weights is not None  # noqa: S101 - asked only of records with weights
    revision = f"revision {record.weights.revision[:12]}, " if record.weights.revision else ""
    return f"{revision}sha256 {record.weights.sha256[:12]}"


def _embedding_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, same_weights: bool, *, named: bool
) -> Iterator[str]:
    """Give what the embeddings say, over the fixed sentences whose tokens are the same."""
    if old.dimensions != new.dimensions:
        yield f"embeddings have {new.dimensions} dimensions, had {old.dimensions}"
        return
    first, second = (np.array(unpacked_floats(each.sketch)).reshape(len(same_tokens), -1) for each in (old, new))
    first, second = first[same_tokens], second[same_tokens]
    moved = np.linalg.norm(first - second, axis=1) > EMBEDDING_TOLERANCE * np.sqrt((first**2).sum(1).mean())
    if not moved.any() or not same_weights:
        return
    overall = cosine(first, second)
    each = np.array([cosine(one, other) for one, other in zip(first, second, strict=True)])
    if (each > 1 - EMBEDDING_TOLERANCE).all() and abs(math.log(new.length / old.length)) > EMBEDDING_TOLERANCE:
        dropped = "normalisation dropped" if abs(old.length - 1) < 1e-3 else "scaled differently"
        yield f"embeddings have length {new.length:.3g} on average, had {old.length:.3g}: {dropped}"
        return
    count = f"{int(moved.sum())} of {len(moved)} fixed sentences, cosine {overall:.6f}"
    if overall > 1 - EMBEDDING_TOLERANCE:
        yield f"same weights and tokens, embeddings moved a little ({count}): arithmetic of lower precision"
    elif named:
        yield f"embeddings differ ({count})"
    else:
        yield f"same weights and tokens, embeddings differ ({count}): pooling or normalisation"


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two arrays taken as vectors; 1 where both are zero, 0 where one of them is."""
    lengths = float(np.linalg.norm(one)), float(np.linalg.norm(other))
    if not all(lengths):
        return float(lengths[0] == lengths[1])
    return float((one * other).sum() / (lengths[0] * lengths[1]))


def _setting_causes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Give settings that both sides have and that differ: those of one side only came or went with a version."""
    for name in old:
        if name in new and old[name] != new[name]:
            yield f"{name} {_shown(new[name])}, was {_shown(old[name])}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value))
    return "all" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _course_causes(old: CourseFingerprint | None, new: CourseFingerprint | None, *, upstream: bool) -> Iterator[str]:
    if old is None or new is None:
        return
    if old.learning_rate and new.learning_rate and not math.isclose(old.learning_rate, new.learning_rate, rel_tol=1e-6):
        yield f"the optimiser's highest learning rate is {new.learning_rate:g}, was {old.learning_rate:g}"
    if (
        old.last_gradient is not None
        and new.last_gradient is not None
        and new.last_gradient > GRADIENT_ACCEPTED >= old.last_gradient
    ):
        yield (
            f"the optimiser stopped before it converged: {new.steps} iterations, gradient {new.last_gradient:.1e} "
            f"(were {old.steps} and {old.last_gradient:.1e})"
        )
    elif old.first_loss is not None and old.steps != new.steps:
        yield f"{new.steps} training steps, were {old.steps}"
    if upstream or not (old.first_loss and new.first_loss):
        return
    loss = new.first_loss / old.first_loss
    if abs(loss - 1) > FIRST_LOSS_TOLERANCE:
        yield (
            f"loss of the first batch {new.first_loss:.4g}, was {old.first_loss:.4g} ({loss:.2f} ×), from the same "
            "rows and weights: the loss is scaled differently (gradient accumulation, label smoothing)"
        )
    elif old.first_gradient_norm and new.first_gradient_norm:
        gradient = new.first_gradient_norm / old.first_gradient_norm
        if abs(gradient - 1) > FIRST_GRADIENT_TOLERANCE:
            yield (
                f"gradient of the first batch {gradient:.2f} × what it was, from the same loss: gradients are scaled "
                "differently"
            )


def _logit_causes(old: Fingerprint, new: Fingerprint) -> Iterator[str]:
    similarity = cosine(np.array(unpacked_floats(old.logits)), np.array(unpacked_floats(new.logits)))
    if similarity < LOGITS_COSINE:
        yield (
            f"the same up to training, but the trained classifiers differ (cosine of the fixed sentences' logits "
            f"{similarity:.3f}): the training itself changed"
        )
