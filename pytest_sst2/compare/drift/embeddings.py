"""Compare the embeddings of the probe sentences, and find the step that changed them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from pytest_sst2.compare.drift.common_sentences import common_sentences
from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.drift.modules import FirstDifference, first_difference, same_modules
from pytest_sst2.compare.drift.row_patterns import band_of_lengths
from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.results.fingerprint import EncoderFingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.probe_sentences import watched_sentences

# Largest relative change of an embedding that is not reported. Other thread counts and processors change float32 by
# 1e-6, TF32 and half precision by 1e-3.
EMBEDDING_TOLERANCE = 1e-4
# Largest relative change of their length at the same direction. Lower precision changes it less.
LENGTH_TOLERANCE = 1e-2
# Lower precision moves the first output that it changes by less than this, relatively.
_LOWER_PRECISION = 5e-3
# A mean length this close to 1 means that embeddings are normalised.
_UNIT_LENGTH_TOLERANCE = 1e-3
# Largest relative difference between two embeddings of one sentence. Only dropout exceeds it.
NONDETERMINISM_TOLERANCE = 1e-3
# Largest relative effect of the other sentences of a batch on an embedding. bfloat16 has 1e-2.
BATCH_SENSITIVITY_TOLERANCE = 3e-2


def embedding_causes(
    old: EncoderFingerprint,
    new: EncoderFingerprint,
    same_tokens: np.ndarray,
    lengths: np.ndarray,
    *,
    same_weights: bool,
    explained: bool,
) -> Iterator[Cause]:
    """Yield the differences between embeddings of probe sentences with the same tokens (bool, of shape (64,)).

    ``lengths`` are the numbers of tokens of all 64, empty if unknown. ``explained`` is whether a setting or the config
    already explains the difference.
    """
    embedded = len(_sketches(old.sketch, new.sketch)[0])
    if old.dimensions != new.dimensions:
        sentence = f"embeddings have {new.dimensions} dimensions, had {old.dimensions}"
        yield Cause(sentence, "embeddings", "dimensions", str(old.dimensions), str(new.dimensions))
    elif is_nondeterministic(old, new):
        yield Cause(
            f"embedded twice, a sentence gets two embeddings ({100 * new.nondeterminism:.3g} % apart): dropout is "
            "on in the encoder, or something else is random",
            "embeddings",
        )
    elif max(old.nondeterminism, new.nondeterminism) > NONDETERMINISM_TOLERANCE:
        return
    elif same_weights and same_tokens.all() and (count := _reordered(old.sketch, new.sketch)):
        yield Cause(
            f"embeddings come back in another order than the sentences ({count} of {embedded} probe sentences)",
            "embeddings",
            rows=count,
        )
    elif _is_batch_sensitive(old, new):
        yield Cause(
            f"embeddings depend on the other sentences of a batch (by up to {100 * new.batch_sensitivity:.3g} %), as "
            "when padding is attended to, counted in the pooling, or on another side",
            "embeddings",
        )
    elif old.pooling and new.pooling and old.pooling != new.pooling:
        yield Cause(f"pooling {new.pooling}, was {old.pooling}", "embeddings", "pooling", old.pooling, new.pooling)
    elif same_weights and same_tokens.any():
        yield from _moved_causes(old, new, same_tokens, lengths, explained=explained)


def same_embeddings(old: EncoderFingerprint | None, new: EncoderFingerprint | None) -> bool:
    """Return whether both sides have an encoder, and it gives the probe sentences the same embeddings."""
    if old is None or new is None or old.dimensions != new.dimensions:
        return False
    return not _moved(*_sketches(old.sketch, new.sketch)[1:]).any()


def is_nondeterministic(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Return whether only the later encoder gives a sentence a different embedding each time."""
    return new.nondeterminism > NONDETERMINISM_TOLERANCE >= old.nondeterminism


def _is_batch_sensitive(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Return whether only the later embeddings depend on the other sentences of a batch, by more than rounding."""
    if not old.hidden or not new.hidden or _moved(*_sketches(old.hidden, new.hidden)[1:]).any():
        return new.batch_sensitivity > BATCH_SENSITIVITY_TOLERANCE >= old.batch_sensitivity
    return new.batch_sensitivity > max(EMBEDDING_TOLERANCE, 10 * old.batch_sensitivity)


def _moved_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, lengths: np.ndarray, *, explained: bool
) -> Iterator[Cause]:
    numbers, *sketches = _sketches(old.sketch, new.sketch)
    comparable_rows = same_tokens[numbers]
    numbers = numbers[comparable_rows]
    first, second = (sketch[comparable_rows] for sketch in sketches)
    moved = _moved(first, second)
    # Other tokens of a sentence change the modules' inputs from the first one on.
    comparable = same_tokens[list(watched_sentences())].all()
    difference = first_difference(old.modules, new.modules) if comparable else None
    if not moved.any():
        if difference is not None and not explained:
            yield Cause(
                f"{difference.sentence}; the embeddings of the probe sentences are the same",
                "modules",
                difference.module,
                rank=Rank.NOTE,
            )
        return
    number = int(moved.sum())
    overall = cosine(first, second)
    band = band_of_lengths(np.flatnonzero(moved), lengths[numbers]) if len(lengths) == len(same_tokens) else ""
    count = f"{number} of {len(moved)} probe sentences{band and f', {band}'}, cosine {overall:.6f}"
    directions = np.array([cosine(one, other) for one, other in zip(first, second, strict=True)])
    if (directions > 1 - EMBEDDING_TOLERANCE).all() and abs(math.log(new.length / old.length)) > LENGTH_TOLERANCE:
        was_unit, is_unit = (abs(side.length - 1) < _UNIT_LENGTH_TOLERANCE for side in (old, new))
        what = "normalisation dropped" if was_unit else "now normalised" if is_unit else "scaled differently"
        sentence = f"embeddings have length {new.length:.3g} on average, had {old.length:.3g}: {what}"
        yield Cause(sentence, "embeddings", "length", f"{old.length:.3g}", f"{new.length:.3g}")
    elif explained:
        place = f"; {difference.sentence}" if difference is not None else ""
        where = difference.module if difference is not None else ""
        yield Cause(f"embeddings differ ({count}){place}", "embeddings", where, rows=number)
    else:
        slight = overall > 1 - EMBEDDING_TOLERANCE
        yield _located(old, new, numbers, moved, difference, count=count, slight=slight)


def _located(
    old: EncoderFingerprint,
    new: EncoderFingerprint,
    numbers: np.ndarray,
    moved_sentences: np.ndarray,
    difference: FirstDifference | None,
    *,
    count: str,
    slight: bool,
) -> Cause:
    """Return the cause for embeddings that moved although weights and tokens are the same, with its place if known.

    ``numbers`` are those of the compared probe sentences; ``moved_sentences`` whether each of them moved.
    """
    same = f"same {'weights' if old.tensors and new.tensors else 'weights in each part'} and tokens"
    slight = slight and (difference is None or difference.output < _LOWER_PRECISION)
    as_if = ", as with arithmetic of lower precision or a slightly different formula" if slight else ""
    if difference is not None:
        sentence = f"{same}, but {difference.sentence}; embeddings differ ({count}){as_if}"
        return Cause(sentence, "modules", difference.module)
    moved = f"embeddings {'moved a little' if slight else 'differ'} ({count}){as_if}"
    watched = np.isin(numbers, watched_sentences())
    if moved_sentences[watched].any() and same_modules(old.modules, new.modules):
        return Cause(f"{same}, and no module's output differs, but {moved}: after the modules", "embeddings")
    if old.hidden and new.hidden and not slight:
        of_hidden, *sketches = _sketches(old.hidden, new.hidden)
        if not _moved(*(sketch[np.isin(of_hidden, numbers)] for sketch in sketches)).any():
            return Cause(f"same last hidden states, but {moved}: what follows them differs", "embeddings")
        return Cause(f"{same}, but the last hidden states differ ({count})", "modules")
    return Cause(f"{same}, but {moved}", "embeddings")


def _sketches(old: str, new: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the numbers of n probe sentences, and their part of each sketch, shape (n, 2)."""
    return common_sentences(*(np.array(unpacked_floats(sketch)).reshape(-1, 2) for sketch in (old, new)))


def _moved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return whether each embedding moved by more than the tolerance, bool, of shape (n,)."""
    return np.asarray(np.linalg.norm(first - second, axis=1) > _allowance(first))


def _allowance(sketch: np.ndarray) -> float:
    return EMBEDDING_TOLERANCE * float(np.sqrt((sketch**2).sum(axis=1).mean()))


def _reordered(old: str, new: str) -> int:
    """Return how many embeddings are at another position; 0 unless both sketches have the same embeddings."""
    _, first, second = _sketches(old, new)
    near = np.linalg.norm(first[:, None] - second[None], axis=2) <= _allowance(first)
    moved = int((~near.diagonal()).sum())
    is_permuted = moved and near.any(axis=0).all() and near.any(axis=1).all()
    return moved if is_permuted else 0
