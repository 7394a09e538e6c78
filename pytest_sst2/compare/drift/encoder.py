"""Compare encoders: type, arithmetic, weights, config, and the embeddings of the probe sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.embeddings import embedding_causes
from pytest_sst2.compare.drift.evidence import Cause, Rank
from pytest_sst2.compare.drift.loaded_weights import LoadedModel, weight_causes
from pytest_sst2.compare.drift.tokens import same_token_sentences
from pytest_sst2.results.fingerprint import EncoderFingerprint
from pytest_sst2.results.record import Record

# Settings that determine the embeddings.
_EMBEDDING_SETTINGS = frozenset({"modules", "pooling", "max_seq_length", "max_length"})


def arithmetic_causes(before: Record, after: Record) -> Iterator[Cause]:
    """Yield different ways to compute the same; the numbers need not change."""
    old, new = _encoder(before), _encoder(after)
    if old and new:
        yield from attention_causes(old, new)
    one, other = before.environment.matmul_precision, after.environment.matmul_precision
    if one != other:
        sentence = f"precision of float32 matrix products {other}, was {one}"
        yield Cause(sentence, "arithmetic", "matrix products", one, other, rank=Rank.DIFFERS)
    old_processes, processes = before.placement.processes, after.placement.processes
    if old_processes != processes:
        sentence = f"trained by {processes} process{'es' if processes > 1 else ''}, was {old_processes}"
        yield Cause(f"{sentence}: other dropout masks", "arithmetic", "processes", str(old_processes), str(processes))


def attention_causes(old: EncoderFingerprint, new: EncoderFingerprint) -> Iterator[Cause]:
    """Yield that attention has another implementation."""
    if old.attention and new.attention and old.attention != new.attention:
        sentence = f"attention computed by {new.attention}, was {old.attention}"
        yield Cause(sentence, "arithmetic", "attention", old.attention, new.attention, rank=Rank.DIFFERS)


def _encoder(record: Record) -> EncoderFingerprint | None:
    return record.fingerprint.encoder if record.fingerprint else None


def encoder_causes(
    before: LoadedModel,
    after: LoadedModel,
    *,
    same_seed: bool,
    frozen: bool,
    same_sentences: bool,
    settings: Mapping[str, str],
) -> Iterator[Cause]:
    """Yield the differences in the encoder. If the dtype differs, yield only that, because it changes everything else.

    ``same_sentences`` is whether the probe sentences are the same, ``settings`` holds the settings that differ.
    """
    old, new = before.encoder, after.encoder
    if old.dtype != new.dtype:
        yield Cause(f"encoder loaded in {new.dtype}, was {old.dtype}", "weights", "dtype", old.dtype, new.dtype)
        return
    if old.autocast != new.autocast:
        sentence = f"encoder computes {autocast_text(new.autocast)}, was {autocast_text(old.autocast)}"
        yield Cause(sentence, "arithmetic", "autocast", old.autocast, new.autocast)
        return
    weights = list(weight_causes(before, after, same_seed=same_seed, frozen=frozen))
    config = different_values(old.config, new.config)
    yield from weights
    for name, sentence in config.items():
        yield Cause(f"the model's config: {sentence}", "config", name, str(old.config[name]), str(new.config[name]))
    if same_sentences:
        same_tokens = same_token_sentences(before.tokens, after.tokens)
        explained = bool(config) or not _EMBEDDING_SETTINGS.isdisjoint(settings)
        lengths = np.array(before.tokens.lengths if before.tokens else ())
        yield from embedding_causes(old, new, same_tokens, lengths, same_weights=not weights, explained=explained)


def autocast_text(autocast: str) -> str:
    """Return ``under autocast to bfloat16`` or ``without autocast``."""
    return f"under autocast to {autocast}" if autocast else "without autocast"


def is_frozen(record: Record) -> bool:
    """Return whether nothing was trained in steps: a frozen encoder or none, or an unknown training (schema 1)."""
    return record.fingerprint is None or not record.fingerprint.trains_in_steps


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
