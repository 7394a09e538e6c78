"""Fingerprint of an encoder: its weights, config and arithmetic, and the embeddings of the probe sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.instruments.data_fingerprint import Ids
from pytest_sst2.instruments.forward_watch import watch_autocast, watch_encoder
from pytest_sst2.instruments.measured_encoder import EmbeddingMeasurement, MeasuredEncoder, state_of
from pytest_sst2.instruments.module_watch import watch_modules
from pytest_sst2.instruments.weights_fingerprint import weights_fingerprint
from pytest_sst2.results.fingerprint import EncoderFingerprint
from pytest_sst2.results.packing import packed_floats
from pytest_sst2.results.probe_sentences import embedded_sentences, probe_sentences, watched_sentences
from pytest_sst2.utils.hashing import sha256_digest

# From n sentences to an array of shape (n, d).
Embed = Callable[[Sequence[str]], np.ndarray]

# Names of config values that do not affect what a model computes: where it came from, its types, its outputs.
_IRRELEVANT_CONFIG = re.compile(r"^_|version|dtype|output|return_|use_cache|tie_|torchscript|problem_type|token_id")
_POOLINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda hidden: np.asarray(hidden.mean(axis=0)),
    "cls": lambda hidden: np.asarray(hidden[0]),
    "max": lambda hidden: np.asarray(hidden.max(axis=0)),
    "lasttoken": lambda hidden: np.asarray(hidden[-1]),
}
# Half precision changes a cosine by 1e-5, another pooling by far more.
_SAME_DIRECTION = 1 - 1e-3


@dataclass(frozen=True)
class EncoderMeasurement:
    """The fingerprint of an encoder, and what else was observed.

    ``ids`` are the token ids that it read of each probe sentence, or None if they could not be observed. ``identity``
    is the digest of all its weights and of the exact embeddings of the embedded probe sentences.
    """

    fingerprint: EncoderFingerprint
    ids: Ids | None
    identity: str


def measure_encoder(
    module: Any,
    embed: Embed,
    expected_ids: Ids | None = None,
    *,
    before: MeasuredEncoder | None = None,
    conditions: Hashable = None,
) -> EncoderMeasurement:
    """Return the fingerprint of an encoder, its identity and the token ids that it read.

    ``module`` is a ``torch.nn.Module`` with all its weights, including a head that will be trained. ``expected_ids``
    are the tokenizer's ids of the probe sentences. If the encoder reads the same, its hidden states are observed in
    batches, which is four times as fast as one sentence at a time.

    An encoder in the same state as the one measured ``before``, under the same ``conditions`` for ``embed``, does not
    embed the sentences again. Without conditions it does.
    """
    before = MeasuredEncoder() if before is None else before
    weights = weights_fingerprint(module, sketched=True, known=before.sketches)
    state = None if conditions is None else state_of(module, weights.body, expected_ids)
    key = None if state is None else (conditions, state)
    measured = before.get(key)
    if measured is None:
        measured = _measure_embeddings(module, embed, expected_ids)
        before.keep(key, measured)
    fingerprint = EncoderFingerprint(
        dtype=", ".join(sorted({*_dtypes(module.parameters()), *_dtypes(module.state_dict().values())})),
        attention=_attention(module),
        parts=weights.parts,
        effective_dtype=weights.effective_dtype,
        config=_config(module),
        tensors=weights.tensors,
        **measured.fields,
    )
    identity = sha256_digest(weights.digest.encode() + np.ascontiguousarray(measured.embeddings).tobytes())
    ids = expected_ids if measured.ids == expected_ids else measured.ids
    return EncoderMeasurement(fingerprint, ids, identity)


def _measure_embeddings(module: Any, embed: Embed, expected_ids: Ids | None) -> EmbeddingMeasurement:
    with watch_autocast(module) as autocast:
        embeddings, hidden, ids = _observed_in_batches(module, embed, expected_ids) or _observed_alone(module, embed)
    length = float(np.linalg.norm(embeddings, axis=1).mean())
    alone = watched_sentences()
    places = [embedded_sentences().index(number) for number in alone]
    batched = embeddings if ids is expected_ids and ids is not None else embedded(embed, embedded_sentences())
    with watch_modules(module) as modules:
        embedded_alone = np.concatenate([embedded(embed, [number]) for number in alone])
    again = embedded(embed, alone[:1])
    fields = {
        "sketch": _sketch(batched),
        "length": round(length, 6),
        "dimensions": embeddings.shape[1],
        "pooling": _pooling(embeddings, hidden) if hidden else "",
        "hidden": _sketch(np.array([states.mean(axis=0) for states in hidden])) if hidden else "",
        "nondeterminism": _relative_distance(embedded_alone[:1], again, length or 1.0),
        "batch_sensitivity": _relative_distance(batched[places], embedded_alone, length or 1.0),
        "autocast": next(iter(autocast), ""),
        "modules": modules.sketches(),
    }
    return EmbeddingMeasurement(fields, batched, ids)


def embedded(function: Embed, numbers: Sequence[int]) -> np.ndarray:
    """Return the function's result for the probe sentences with these numbers, as float64."""
    return np.asarray(function([probe_sentences()[number] for number in numbers]), dtype=np.float64)


def _sketch(rows: np.ndarray) -> str:
    # NumPy keeps the stream of its legacy generator unchanged, so every version draws the same directions.
    directions = np.random.RandomState(0).standard_normal((rows.shape[1], 2))
    return packed_floats((rows @ directions).ravel().tolist())


def _relative_distance(one: np.ndarray, other: np.ndarray, length: float) -> float:
    """Return the largest distance between corresponding rows, as a share of ``length``, with three digits."""
    return float(f"{float(np.linalg.norm(one - other, axis=1).max()) / length:.3g}")


# Of the embedded sentences: embeddings, and last hidden states of each, shape (tokens, d), empty if any is missing. Of
# all probe sentences: token ids of each, None if any are missing.
_Observed = tuple[np.ndarray, list[np.ndarray], Ids | None]


def _observed_in_batches(module: Any, embed: Embed, expected_ids: Ids | None) -> _Observed | None:
    """Embed the sentences in batches and observe the transformer inside.

    None if it read other ids than expected, because they do not show which sentence is which.
    """
    if expected_ids is None:
        return None
    expected = [tuple(expected_ids[number]) for number in embedded_sentences()]
    with watch_encoder(module) as observed:
        embeddings = embedded(embed, embedded_sentences())
    if sorted(row for row, _ in observed) != sorted(expected):
        return None
    states_by_ids = dict(observed)  # sentences of the same ids have the same states
    hidden = [states for ids in expected if (states := states_by_ids[ids]) is not None]
    return embeddings, hidden if len(hidden) == len(embeddings) else [], expected_ids


def _observed_alone(module: Any, embed: Embed) -> _Observed:
    """Embed each probe sentence alone and observe the transformer inside."""
    embeddings, hidden, ids = [], [], []
    with watch_encoder(module) as observed:
        for sentence in probe_sentences():
            observed.clear()
            embeddings.append(np.asarray(embed([sentence]), dtype=np.float64)[0])
            if observed:
                row, states_of_row = observed[-1]
                ids.append(row)
                if states_of_row is not None:
                    hidden.append(states_of_row)
    count, chosen = len(embeddings), list(embedded_sentences())
    states = [hidden[number] for number in chosen] if len(hidden) == count else []
    return np.array(embeddings)[chosen], states, ids if len(ids) == count else None


def _pooling(embeddings: np.ndarray, hidden: Sequence[np.ndarray]) -> str:
    """Return the pooling of the last hidden states that reproduces the embeddings up to length; empty if none does."""
    size = embeddings.shape[1]
    for name, pool in _POOLINGS.items():
        pooled = [pool(states)[:size] for states in hidden]
        if all(len(vector) == size for vector in pooled) and all(
            cosine(embedding, vector) > _SAME_DIRECTION for embedding, vector in zip(embeddings, pooled, strict=True)
        ):
            return name
    return ""


def _dtypes(values: Iterable[Any]) -> Iterator[str]:
    """Yield the types of floating-point and quantised tensors, including those inside tuples."""
    for value in values:
        if isinstance(value, tuple):
            yield from _dtypes(value)
        elif hasattr(value, "numel") and (value.is_floating_point() or value.is_quantized):
            yield str(value.dtype).removeprefix("torch.")


def _attention(module: Any) -> str:
    for part in module.modules():
        if implementation := getattr(getattr(part, "config", None), "_attn_implementation", None):
            return str(implementation)
    return ""


def _config(module: Any) -> dict[str, Any]:
    """Return the plain values of the model's config that may affect what it computes, and its dropout rates."""
    rates = Counter(str(part.p) for part in module.modules() if hasattr(part, "p") and "Dropout" in type(part).__name__)
    found = {"dropout_modules": ", ".join(f"{count} × {rate}" for rate, count in sorted(rates.items()))}
    for part in module.modules():
        if hasattr(getattr(part, "config", None), "to_dict"):
            values = sorted(part.config.to_dict().items())
            plain = {name: value for name, value in values if isinstance(value, bool | int | float | str | None)}
            return found | {name: value for name, value in plain.items() if not _IRRELEVANT_CONFIG.search(name)}
    return found
