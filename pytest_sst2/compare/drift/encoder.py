"""Compare encoders: the weights as loaded, and the embeddings of the probe sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.compare.drift.tokens import same_token_sentences
from pytest_sst2.results.fingerprint import HEADS, EncoderFingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import shorten

# Largest relative change of an embedding that is not reported. Other thread counts and processors change float32 by
# 1e-6, TF32 and half precision by 1e-3.
EMBEDDING_TOLERANCE = 1e-4
# Largest relative change of their length at the same direction. Lower precision changes it less.
LENGTH_TOLERANCE = 1e-2
# A mean length this close to 1 means that embeddings are normalised.
_UNIT_LENGTH_TOLERANCE = 1e-3
# Largest relative difference between two embeddings of one sentence. Only dropout exceeds it.
NONDETERMINISM_TOLERANCE = 1e-3
# Largest relative effect of the other sentences of a batch on an embedding. bfloat16 has 1e-2.
BATCH_SENSITIVITY_TOLERANCE = 3e-2
# Settings that determine the embeddings.
_EMBEDDING_SETTINGS = frozenset({"modules", "pooling", "max_seq_length", "max_length"})


def arithmetic_causes(before: Record, after: Record) -> Iterator[str]:
    """Yield different ways to compute the same; the numbers need not change."""
    old, new = _encoder(before), _encoder(after)
    if old and new and old.attention and new.attention and old.attention != new.attention:
        yield f"attention computed by {new.attention}, was {old.attention}"
    one, other = before.environment.matmul_precision, after.environment.matmul_precision
    if one != other:
        yield f"precision of float32 matrix products {other}, was {one}"
    old_processes, processes = before.placement.processes, after.placement.processes
    if old_processes != processes:
        yield f"trained by {processes} process{'es' if processes > 1 else ''}, was {old_processes}: other dropout masks"


def _encoder(record: Record) -> EncoderFingerprint | None:
    return record.fingerprint.encoder if record.fingerprint else None


def encoder_causes(
    before: Record, after: Record, *, same_seed: bool, same_sentences: bool, settings: Mapping[str, str]
) -> Iterator[str]:
    """Yield what differs in the encoder. If the dtype differs, yield only that, because it changes everything else.

    ``same_sentences`` is whether the probe sentences are the same, ``settings`` holds the settings that differ.
    """
    old, new = _encoder(before), _encoder(after)
    if old is None or new is None:
        return
    if old.dtype != new.dtype:
        yield f"encoder loaded in {new.dtype}, was {old.dtype}"
        return
    if old.autocast != new.autocast:
        yield f"encoder computes {autocast_text(new.autocast)}, was {autocast_text(old.autocast)}"
        return
    weights = list(_weight_causes(before, after, same_seed=same_seed))
    config = different_values(old.config, new.config)
    yield from weights
    for sentence in config.values():
        yield f"the model's config: {sentence}"
    if same_sentences:
        same_tokens = same_token_sentences(before.fingerprint.tokens, after.fingerprint.tokens)  # type: ignore[union-attr]
        explained = bool(config) or not _EMBEDDING_SETTINGS.isdisjoint(settings)
        yield from _embedding_causes(old, new, same_tokens, same_weights=not weights, explained=explained)


def autocast_text(autocast: str) -> str:
    """Return ``under autocast to bfloat16`` or ``without autocast``."""
    return f"under autocast to {autocast}" if autocast else "without autocast"


def _weight_causes(before: Record, after: Record, *, same_seed: bool) -> Iterator[str]:
    old, new = _encoder(before), _encoder(after)
    assert old is not None and new is not None  # noqa: S101, PT018 - the caller has checked both
    all_parts = dict.fromkeys((*old.parts, *new.parts))
    if old.parts.keys() != new.parts.keys() and sorted(old.parts.values()) == sorted(new.parts.values()):
        return  # only renamed
    names = [name for name in all_parts if old.parts.get(name) != new.parts.get(name)]
    # A pooler that the checkpoint lacks is initialised with the head. A frozen encoder does not use it.
    initialised = HEADS | {"pooler"}
    if (not same_seed or is_frozen(before)) and initialised.issuperset(names):
        return
    if not same_seed:
        names = [name for name in names if name not in initialised]
    if not names:
        return
    if HEADS.issuperset(names):
        yield "the new head starts from other numbers: the same seed draws differently"
        return
    if initialised.issuperset(names):
        yield "the pooler starts from other numbers: not loaded, or the same seed draws differently"
        return
    where = f"in {len(names)} of {len(all_parts)} parts ({shorten(names, 4)})"
    if missing := [name for name in old.parts if name not in new.parts]:
        where += f"; missing: {shorten(missing, 4)}"
    is_rounded = new.effective_dtype not in (old.effective_dtype, "float32")
    rounded = f"rounded to {new.effective_dtype}" if is_rounded else ""
    if before.weights and after.weights and before.weights.sha256 != after.weights.sha256:
        end = f", {rounded}" if rounded else ""
        yield f"another checkpoint ({_checkpoint(after)}, was {_checkpoint(before)}): weights differ {where}{end}"
    else:
        swapped = sorted(old.parts.values()) == sorted(new.parts.values())
        lost = "not loaded" if missing == names else "re-initialised, or not loaded"
        why = f"{rounded} while loading" if rounded else "the parts are swapped" if swapped else lost
        yield f"weights as loaded differ {where}, although the files are the same: {why}"


def is_frozen(record: Record) -> bool:
    """Return whether nothing was trained in steps: a frozen encoder or none, or an unknown training (schema 1)."""
    training = record.fingerprint.training if record.fingerprint else None
    return training is None or training.first_loss is None


def _checkpoint(record: Record) -> str:
    assert record.weights is not None  # noqa: S101 - the caller has checked it
    commit = record.weights.revision.partition("sha256:")[0]  # a folder has no commit
    revision = f"revision {commit[:12]}, " if commit else ""
    return f"{revision}sha256 {record.weights.sha256[:12]}"


def _embedding_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, *, same_weights: bool, explained: bool
) -> Iterator[str]:
    """Yield how the embeddings of the probe sentences with the same tokens (bool, of shape (64,)) differ.

    ``explained`` is whether a setting or the config already explains the difference.
    """
    if old.dimensions != new.dimensions:
        yield f"embeddings have {new.dimensions} dimensions, had {old.dimensions}"
    elif is_nondeterministic(old, new):
        yield (
            f"embedded twice, a sentence gets two embeddings ({100 * new.nondeterminism:.3g} % apart): dropout is "
            "on in the encoder, or something else is random"
        )
    elif max(old.nondeterminism, new.nondeterminism) > NONDETERMINISM_TOLERANCE:
        return
    elif same_weights and same_tokens.all() and (count := _reordered(old, new)):
        yield f"embeddings come back in another order than the sentences ({count})"
    elif _is_batch_sensitive(old, new):
        yield (
            f"embeddings depend on the other sentences of a batch (by up to {100 * new.batch_sensitivity:.3g} %): "
            "padding is attended to, counted in the pooling, or on another side"
        )
    elif old.pooling and new.pooling and old.pooling != new.pooling:
        yield f"pooling {new.pooling}, was {old.pooling}"
    elif same_weights and same_tokens.any():
        yield from _moved_causes(old, new, same_tokens, explained=explained)


def is_nondeterministic(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Return whether only the later encoder gives a sentence a different embedding each time."""
    return new.nondeterminism > NONDETERMINISM_TOLERANCE >= old.nondeterminism


def _is_batch_sensitive(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Return whether only the later embeddings depend on the other sentences of a batch, by more than rounding."""
    if not old.hidden or not new.hidden or _moved(_unpacked_sketch(old.hidden), _unpacked_sketch(new.hidden)).any():
        return new.batch_sensitivity > BATCH_SENSITIVITY_TOLERANCE >= old.batch_sensitivity
    return new.batch_sensitivity > max(EMBEDDING_TOLERANCE, 10 * old.batch_sensitivity)


def _moved_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, *, explained: bool
) -> Iterator[str]:
    first, second = (_unpacked_sketch(side.sketch)[same_tokens] for side in (old, new))
    moved = _moved(first, second)
    if not moved.any():
        return
    overall = cosine(first, second)
    count = f"{int(moved.sum())} of {len(moved)} probe sentences, cosine {overall:.6f}"
    directions = np.array([cosine(one, other) for one, other in zip(first, second, strict=True)])
    if (directions > 1 - EMBEDDING_TOLERANCE).all() and abs(math.log(new.length / old.length)) > LENGTH_TOLERANCE:
        was_unit, is_unit = (abs(side.length - 1) < _UNIT_LENGTH_TOLERANCE for side in (old, new))
        what = "normalisation dropped" if was_unit else "now normalised" if is_unit else "scaled differently"
        yield f"embeddings have length {new.length:.3g} on average, had {old.length:.3g}: {what}"
    elif explained:
        yield f"embeddings differ ({count})"
    elif overall > 1 - EMBEDDING_TOLERANCE:
        yield (
            f"same weights and tokens, embeddings moved a little ({count}): arithmetic of lower precision, or a "
            "slightly different formula"
        )
    elif old.hidden and new.hidden:
        hidden = _moved(*(_unpacked_sketch(side.hidden)[same_tokens] for side in (old, new)))
        yield (
            f"same weights and tokens, but the encoder's last hidden states differ ({count}): its layers compute "
            "something else"
            if hidden.any()
            else f"same hidden states, but embeddings differ ({count}): pooling, normalisation or a further module"
        )
    else:
        yield f"same weights and tokens, embeddings differ ({count}): pooling, normalisation, or the layers' arithmetic"


def _unpacked_sketch(sketch: str) -> np.ndarray:
    """Return a sketch: an array of shape (64, 2)."""
    return np.array(unpacked_floats(sketch)).reshape(-1, 2)


def _moved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return whether each embedding moved by more than the tolerance, bool, of shape (n,)."""
    return np.asarray(np.linalg.norm(first - second, axis=1) > _allowance(first))


def _allowance(sketch: np.ndarray) -> float:
    return EMBEDDING_TOLERANCE * float(np.sqrt((sketch**2).sum(axis=1).mean()))


def _reordered(old: EncoderFingerprint, new: EncoderFingerprint) -> str:
    """Return how many embeddings are at another position; empty unless both sides have the same embeddings."""
    first, second = (_unpacked_sketch(side.sketch) for side in (old, new))
    near = np.linalg.norm(first[:, None] - second[None], axis=2) <= _allowance(first)
    moved = int((~near.diagonal()).sum())
    is_permuted = moved and near.any(axis=0).all() and near.any(axis=1).all()
    return f"{moved} of {len(first)} probe sentences" if is_permuted else ""


def different_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each value that both sides have and that differs.

    Values of only one side were added or removed by a library version, so they are ignored.
    """
    return {
        name: f"{name} {value_text(new[name], 'none')}, was {value_text(old[name], 'none')}"
        for name in old
        if name in new and old[name] != new[name]
    }


def value_text(value: Any, none: str = "all") -> str:
    """Return a value as text; None becomes ``none``."""
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value))
    return none if value is None else f"{value:g}" if isinstance(value, float) else str(value)
