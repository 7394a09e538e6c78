"""Encoder drift: weights as they were loaded, and the embeddings of the fixed sentences, before and after."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.compare.drift.tokens import same_token_sentences
from pytest_sst2.results.fingerprint import HEADS, EncoderFingerprint
from pytest_sst2.results.packing import unpacked_floats
from pytest_sst2.results.record import Record

# Share by which an embedding may move without a word. Other thread counts and other processors move float32 by 1e-6,
# TF32 and half precision by 1e-3.
EMBEDDING_TOLERANCE = 1e-4
# Share by which their lengths may differ where their directions do not: lower precision leaves less.
LENGTH_TOLERANCE = 1e-2
# Share by which embedding twice may give two results: only dropout leaves more.
UNSTEADY_TOLERANCE = 1e-3
# Share by which an embedding may depend on the sentences beside it: bfloat16 leaves 1e-2.
COMPANY_TOLERANCE = 3e-2
# Settings that decide the embeddings.
_OF_EMBEDDINGS = frozenset({"modules", "pooling", "max_seq_length", "max_length"})


def computing_causes(before: Record, after: Record) -> Iterator[str]:
    """Give other ways to compute the same: they may leave every number as it was."""
    old, new = _encoder(before), _encoder(after)
    if old and new and old.attention and new.attention and old.attention != new.attention:
        yield f"attention computed by {new.attention}, was {old.attention}"
    one, other = before.environment.matmul_precision, after.environment.matmul_precision
    if one != other:
        yield f"precision of float32 matrix products {other}, was {one}"
    alone, together = before.placement.processes, after.placement.processes
    if alone != together:
        yield f"trained by {together} process{'es' if together > 1 else ''}, was {alone}: other dropout masks"


def _encoder(record: Record) -> EncoderFingerprint | None:
    return record.fingerprint.encoder if record.fingerprint else None


def encoder_causes(
    before: Record, after: Record, *, same_seed: bool, comparable: bool, settings: Mapping[str, str]
) -> Iterator[str]:
    """Give what differs in the encoder; loading in another type changes all of it and is told alone."""
    old, new = _encoder(before), _encoder(after)
    if old is None or new is None:
        return
    if old.dtype != new.dtype:
        yield f"encoder loaded in {new.dtype}, was {old.dtype}"
        return
    if old.autocast != new.autocast:
        yield f"encoder computes {_cast(new.autocast)}, was {_cast(old.autocast)}"
        return
    weights = list(_weight_causes(before, after, same_seed=same_seed))
    config = different_values(old.config, new.config)
    yield from weights
    for sentence in config.values():
        yield f"the model's config: {sentence}"
    if comparable:
        same_tokens = same_token_sentences(before.fingerprint.tokens, after.fingerprint.tokens)  # type: ignore[union-attr]
        told = bool(config) or not _OF_EMBEDDINGS.isdisjoint(settings)
        yield from _embedding_causes(old, new, same_tokens, same_weights=not weights, told=told)


def _cast(autocast: str) -> str:
    return f"under autocast to {autocast}" if autocast else "in its own type"


def _weight_causes(before: Record, after: Record, *, same_seed: bool) -> Iterator[str]:
    old, new = _encoder(before), _encoder(after)
    assert old is not None and new is not None  # noqa: S101, PT018 - asked only of such
    everything = dict.fromkeys((*old.parts, *new.parts))
    if old.parts.keys() != new.parts.keys() and sorted(old.parts.values()) == sorted(new.parts.values()):
        return  # no more than renamed
    names = [name for name in everything if old.parts.get(name) != new.parts.get(name)]
    # A pooler that the checkpoint lacks is drawn with the head; to a frozen encoder it is nothing.
    drawn = HEADS | {"pooler"}
    if (not same_seed or _is_frozen(before)) and drawn.issuperset(names):
        return
    if not same_seed:
        names = [name for name in names if name not in drawn]
    if not names:
        return
    if HEADS.issuperset(names):
        yield "the new head starts from other numbers: the same seed draws differently"
        return
    if drawn.issuperset(names):
        yield "the pooler starts from other numbers: not loaded, or the same seed draws differently"
        return
    where = f"in {len(names)} of {len(everything)} parts ({_listed(names)})"
    if missing := [name for name in old.parts if name not in new.parts]:
        where += f"; {_listed(missing)} not there at all"
    rounded = (
        f"rounded to {new.effective_dtype}"
        if new.effective_dtype != old.effective_dtype and new.effective_dtype != "float32"
        else ""
    )
    if before.weights and after.weights and before.weights.sha256 != after.weights.sha256:
        end = f", {rounded}" if rounded else ""
        yield f"another checkpoint ({_checkpoint(after)}, was {_checkpoint(before)}): weights differ {where}{end}"
    else:
        moved = sorted(old.parts.values()) == sorted(new.parts.values())
        lost = "not loaded" if missing == names else "re-initialised, or not loaded"
        why = f"{rounded} on the way" if rounded else "they changed places" if moved else lost
        yield f"weights as loaded differ {where}, although the files are the same: {why}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")


def _is_frozen(record: Record) -> bool:
    course = record.fingerprint.training if record.fingerprint else None
    return course is None or course.first_loss is None


def _checkpoint(record: Record) -> str:
    assert record.weights is not None  # noqa: S101 - asked only of records with weights
    commit = record.weights.revision.partition("sha256:")[0]  # for a folder there is none
    revision = f"revision {commit[:12]}, " if commit else ""
    return f"{revision}sha256 {record.weights.sha256[:12]}"


def _embedding_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, *, same_weights: bool, told: bool
) -> Iterator[str]:
    """Give what the embeddings say, over the fixed sentences whose tokens are the same.

    Args:
        old: The encoder before.
        new: The encoder after.
        same_tokens: Array of shape (64,).
        same_weights: Whether their weights are the same.
        told: Whether a setting or the config says already what is different.
    """
    if old.dimensions != new.dimensions:
        yield f"embeddings have {new.dimensions} dimensions, had {old.dimensions}"
    elif is_unsteady(old, new):
        yield (
            f"embedded twice, a sentence gets two embeddings ({100 * new.nondeterminism:.3g} % apart): dropout is "
            "on in the encoder, or something else is random"
        )
    elif max(old.nondeterminism, new.nondeterminism) > UNSTEADY_TOLERANCE:
        return
    elif same_weights and same_tokens.all() and (count := _reordered(old, new)):
        yield f"embeddings come back in another order than the sentences ({count})"
    elif _depends_on_company(old, new):
        yield (
            f"embeddings depend on the other sentences of a batch (by up to {100 * new.batch_sensitivity:.3g} %): "
            "padding is attended to, counted in the pooling, or on another side"
        )
    elif old.pooling and new.pooling and old.pooling != new.pooling:
        yield f"pooling {new.pooling}, was {old.pooling}"
    elif same_weights and same_tokens.any():
        yield from _moved_causes(old, new, same_tokens, told=told)


def is_unsteady(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Tell whether the encoder no longer gives a sentence the same embedding each time."""
    return new.nondeterminism > UNSTEADY_TOLERANCE >= old.nondeterminism


def _depends_on_company(old: EncoderFingerprint, new: EncoderFingerprint) -> bool:
    """Tell whether embeddings have come to depend on what they are batched with, and not on their arithmetic alone."""
    if not old.hidden or not new.hidden or _moved(_sketched(old.hidden), _sketched(new.hidden)).any():
        return new.batch_sensitivity > COMPANY_TOLERANCE >= old.batch_sensitivity
    return new.batch_sensitivity > max(EMBEDDING_TOLERANCE, 10 * old.batch_sensitivity)


def _moved_causes(
    old: EncoderFingerprint, new: EncoderFingerprint, same_tokens: np.ndarray, *, told: bool
) -> Iterator[str]:
    first, second = (_sketched(each.sketch)[same_tokens] for each in (old, new))
    moved = _moved(first, second)
    if not moved.any():
        return
    overall = cosine(first, second)
    count = f"{int(moved.sum())} of {len(moved)} fixed sentences, cosine {overall:.6f}"
    directions = np.array([cosine(one, other) for one, other in zip(first, second, strict=True)])
    if (directions > 1 - EMBEDDING_TOLERANCE).all() and abs(math.log(new.length / old.length)) > LENGTH_TOLERANCE:
        was, now = (abs(each.length - 1) < 1e-3 for each in (old, new))
        what = "normalisation dropped" if was else "normalised, which they were not" if now else "scaled differently"
        yield f"embeddings have length {new.length:.3g} on average, had {old.length:.3g}: {what}"
    elif told:
        yield f"embeddings differ ({count})"
    elif overall > 1 - EMBEDDING_TOLERANCE:
        yield (
            f"same weights and tokens, embeddings moved a little ({count}): arithmetic of lower precision, or a "
            "slightly other formula"
        )
    elif old.hidden and new.hidden:
        hidden = _moved(*(_sketched(each.hidden)[same_tokens] for each in (old, new)))
        yield (
            f"same weights and tokens, but the encoder's last hidden states differ ({count}): its layers compute "
            "something else"
            if hidden.any()
            else f"same hidden states, but embeddings differ ({count}): pooling, normalisation or a further module"
        )
    else:
        yield f"same weights and tokens, embeddings differ ({count}): pooling, normalisation, or the layers' arithmetic"


def _sketched(sketch: str) -> np.ndarray:
    """Return a sketch as an array of shape (64, 2)."""
    return np.array(unpacked_floats(sketch)).reshape(-1, 2)


def _moved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(first - second, axis=1) > _allowance(first))


def _allowance(sketched: np.ndarray) -> float:
    return EMBEDDING_TOLERANCE * float(np.sqrt((sketched**2).sum(axis=1).mean()))


def _reordered(old: EncoderFingerprint, new: EncoderFingerprint) -> str:
    """Return how many of the embeddings stand elsewhere, empty unless all are there, one for one."""
    first, second = (_sketched(each.sketch) for each in (old, new))
    near = np.linalg.norm(first[:, None] - second[None], axis=2) <= _allowance(first)
    moved = int((~near.diagonal()).sum())
    return (
        f"{moved} of {len(first)} fixed sentences"
        if moved and near.any(axis=0).all() and near.any(axis=1).all()
        else ""
    )


def different_values(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    """Return a sentence for each value that both sides have and that differs.

    Those of one side only came or went with a version.
    """
    return {
        name: f"{name} {shown(new[name], 'none')}, was {shown(old[name], 'none')}"
        for name in old
        if name in new and old[name] != new[name]
    }


def shown(value: Any, nothing: str = "all") -> str:
    """Return a value as text; ``nothing`` stands for None."""
    if isinstance(value, list | tuple):
        return " + ".join(map(str, value))
    return nothing if value is None else f"{value:g}" if isinstance(value, float) else str(value)
