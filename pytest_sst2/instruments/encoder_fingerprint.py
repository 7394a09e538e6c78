"""Fingerprints of a tokenizer and of an encoder, taken with the fixed sentences."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.similarity import cosine
from pytest_sst2.results.fingerprint import (
    HEADS,
    KEPT_PIECES,
    EncoderFingerprint,
    TokensFingerprint,
)
from pytest_sst2.results.packing import packed_floats, packed_text
from pytest_sst2.results.probe_sentences import fixed_sentences
from pytest_sst2.utils.hashing import sha256_digest, short_digest

Embed = Callable[[Sequence[str]], np.ndarray]
Ids = Sequence[Sequence[int]]

_DIRECTIONS = 2
# So many of the fixed sentences, the shortest, are embedded twice more.
_FEW = 16
# Values of a config that decide what a model computes; sizes of caches and names of tasks do not.
_TELLING = re.compile(r"drop|_act\b|activation|_eps|position|layers|heads|hidden|intermediate|type_vocab|rope|theta")
_POOLINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda hidden: np.asarray(hidden.mean(axis=0)),
    "cls": lambda hidden: np.asarray(hidden[0]),
    "max": lambda hidden: np.asarray(hidden.max(axis=0)),
    "lasttoken": lambda hidden: np.asarray(hidden[-1]),
}
# Numbers of a tensor that are looked at together.
_BLOCK = 2**18
# Every eighth of the fixed sentences is embedded alone as well.
_ALONE = slice(3, None, 8)
# Half precision leaves 1e-5 of a cosine, two ways of pooling far more.
_SAME_DIRECTION = 1 - 1e-3


def tokens_fingerprint(tokenizer: Any, ids: Ids) -> TokensFingerprint:
    """Return the fingerprint of a tokenizer and of the ids that the fixed sentences have become."""
    return TokensFingerprint(
        tokenizer=type(tokenizer).__name__,
        vocabulary=len(tokenizer),
        ids=ids_digests(ids),
        lengths=tuple(map(len, ids)),
        pieces=packed_text("\n".join(" ".join(_pieces(tokenizer, sentence)) for sentence in ids)),
    )


def _pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    try:
        found = tokenizer.convert_ids_to_tokens(list(ids[:KEPT_PIECES]))
    except (AttributeError, IndexError, KeyError, TypeError):  # no transformers tokenizer, or ids that it does not know
        return []
    return [re.sub(r"\s", "▁", str(piece)) for piece in found]


def ids_digests(ids: Ids) -> str:
    """Return a digest of four bytes for each sentence's ids, in base64."""
    plain = [[int(token) for token in sentence] for sentence in ids]
    return base64.b64encode(b"".join(hashlib.sha256(repr(each).encode()).digest()[:4] for each in plain)).decode()


@dataclass(frozen=True)
class SeenEncoder:
    """What was seen of an encoder.

    Attributes:
        fingerprint: Its fingerprint.
        ids: The token ids it read of each fixed sentence; None where these could not be seen.
        identity: A digest of all its weights and of what it made of the fixed sentences, to the last bit.
    """

    fingerprint: EncoderFingerprint
    ids: Ids | None
    identity: str


def see_encoder(module: Any, embed: Embed, expected_ids: Ids | None = None) -> SeenEncoder:
    """Return the fingerprint of an encoder and what else was seen of it.

    Args:
        module: A ``torch.nn.Module`` with all its weights, a head that is to be trained included.
        embed: From n sentences to an array of shape (n, d).
        expected_ids: What a tokenizer makes of the fixed sentences. Where the encoder reads just that, it can be
            watched while it embeds several sentences at once, which is four times as fast.
    """
    seen: list[str] = []
    with _watched_layer(module, seen):
        embeddings, hidden, ids = _together(module, embed, expected_ids) or _one_by_one(module, embed)
    scale = float(np.linalg.norm(embeddings, axis=1).mean()) or 1.0
    by_length = sorted(range(len(embeddings)), key=lambda index: len(fixed_sentences()[index]))
    few, lonely = by_length[:_FEW], by_length[_ALONE]
    together = embeddings if ids is expected_ids and ids is not None else of_fixed_sentences(embed)
    alone = np.concatenate([_embedded(embed, [index]) for index in lonely])
    first, second = _embedded(embed, few), _embedded(embed, few)
    weights = weights_of(module)
    fingerprint = EncoderFingerprint(
        dtype=", ".join(sorted({*_types(module.parameters()), *_types(module.state_dict().values())})),
        attention=_attention(module),
        parts=weights.parts,
        sketch=_sketch(together),
        length=round(float(np.linalg.norm(embeddings, axis=1).mean()), 6),
        dimensions=embeddings.shape[1],
        effective_dtype=weights.grain,
        config=_config(module),
        pooling=_pooling(embeddings, hidden) if hidden else "",
        hidden=_sketch(np.array([each.mean(axis=0) for each in hidden])) if hidden else "",
        nondeterminism=_share(first, second, scale),
        batch_sensitivity=_share(together[lonely], alone, scale),
        autocast=next(iter(seen), ""),
    )
    identity = sha256_digest(weights.digest.encode() + np.ascontiguousarray(together).tobytes())
    return SeenEncoder(fingerprint, ids, identity)


def _embedded(embed: Embed, numbers: Sequence[int]) -> np.ndarray:
    """Embed some of the fixed sentences, by their numbers."""
    return np.asarray(embed([fixed_sentences()[number] for number in numbers]), dtype=np.float64)


def of_fixed_sentences(function: Embed) -> np.ndarray:
    """Return what ``function`` makes of the fixed sentences."""
    return np.asarray(function(list(fixed_sentences())), dtype=np.float64)


def _sketch(rows: np.ndarray) -> str:
    # The legacy generator's stream is frozen by numpy's policy, so the directions are the same in every version.
    directions = np.random.RandomState(0).standard_normal((rows.shape[1], _DIRECTIONS))
    return packed_floats((rows @ directions).ravel().tolist())


def _share(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    """Return the largest distance between rows, as a share of a row's usual length."""
    return float(f"{float(np.linalg.norm(one - other, axis=1).max()) / scale:.3g}")


Watched = tuple[np.ndarray, list[np.ndarray], Ids | None]


def _together(module: Any, embed: Embed, expected_ids: Ids | None) -> Watched | None:
    """Embed the fixed sentences several at a time, and look at what the transformer inside reads and gives.

    Returns:
        Embeddings, last hidden states and token ids as ``_one_by_one`` returns them; None where what was read is not
        what was expected, so that it cannot be told which sentence is which.
    """
    if expected_ids is None:
        return None
    with _watched(module) as seen:
        embeddings = of_fixed_sentences(embed)
    if sorted(row for row, _ in seen) != sorted(map(tuple, expected_ids)):
        return None
    states = dict(seen)  # sentences of the same ids have the same states
    hidden = [state for ids in expected_ids if (state := states[tuple(ids)]) is not None]
    return embeddings, hidden if len(hidden) == len(embeddings) else [], expected_ids


def _one_by_one(module: Any, embed: Embed) -> Watched:
    """Embed each fixed sentence alone, and look at what the transformer inside reads and gives.

    Returns:
        Embeddings; for each sentence its last hidden states, shape (tokens, d), empty where not all could be seen;
        and its token ids, None likewise.
    """
    embeddings, hidden, ids = [], [], []
    with _watched(module) as seen:
        for sentence in fixed_sentences():
            seen.clear()
            embeddings.append(np.asarray(embed([sentence]), dtype=np.float64)[0])
            if seen:
                row, states = seen[-1]
                ids.append(row)
                if states is not None:
                    hidden.append(states)
    complete = [len(each) == len(embeddings) for each in (hidden, ids)]
    return np.array(embeddings), hidden if complete[0] else [], ids if complete[1] else None


@contextlib.contextmanager
def _watched(module: Any) -> Iterator[list[tuple[tuple[int, ...], np.ndarray | None]]]:
    """Gather, in the body, what the transformer inside ``module`` reads and gives, without padding.

    For every sentence its token ids and its last hidden states, None where these cannot be seen.
    """
    inner: Any = getattr(module, "base_model", None)
    if inner is None and hasattr(module, "children"):
        inner = next(iter(module.children()), None)
    seen: list[tuple[tuple[int, ...], np.ndarray | None]] = []

    def look(_module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        found: dict[str, Any] = {}
        for each in (*args, kwargs, output):
            if isinstance(each, Mapping):
                found.update(each)
        ids, mask = found.get("input_ids"), found.get("attention_mask")
        states = found.get("token_embeddings", found.get("last_hidden_state"))
        if ids is None or mask is None or ids.shape != mask.shape:
            return
        plain: np.ndarray | None = None
        if states is not None and states.shape[:2] == ids.shape:
            plain = states.detach().float().cpu().numpy().astype(np.float64)
        for number, kept in enumerate(mask.bool().cpu()):
            row = tuple(ids[number].cpu()[kept].tolist())
            seen.append((row, None if plain is None else plain[number][kept.numpy()]))

    if not hasattr(inner, "register_forward_hook"):
        yield seen
        return
    handle = inner.register_forward_hook(look, with_kwargs=True)
    try:
        yield seen
    finally:
        handle.remove()


@contextlib.contextmanager
def _watched_layer(module: Any, seen: list[str]) -> Iterator[None]:
    """Keep, in the body, the type that autocast computes in where the first layer is."""
    layer = first_linear(module)
    if layer is None:
        yield
        return
    handle = layer.register_forward_pre_hook(lambda inner, _args: seen.append(autocast_type(inner)))
    try:
        yield
    finally:
        handle.remove()


def first_linear(module: Any) -> Any:
    """Return the first linear layer inside a module, None where there is none."""
    from torch.nn import Linear

    return next((part for part in module.modules() if isinstance(part, Linear)), None)


def autocast_type(layer: Any) -> str:
    """Return the type that autocast computes in on the layer's device now, empty where it is off."""
    import torch

    device = layer.weight.device.type
    try:
        is_on = torch.is_autocast_enabled(device)
    except RuntimeError:  # a device that this torch has no autocast for
        return ""
    return str(torch.get_autocast_dtype(device)).removeprefix("torch.") if is_on else ""


def _pooling(embeddings: np.ndarray, hidden: Sequence[np.ndarray]) -> str:
    """Return which pooling of the last hidden states gives the embeddings, lengths apart; empty where none does."""
    size = embeddings.shape[1]
    for name, pool in _POOLINGS.items():
        pooled = [pool(each)[:size] for each in hidden]
        if all(len(each) == size for each in pooled) and all(
            cosine(one, other) > _SAME_DIRECTION for one, other in zip(embeddings, pooled, strict=True)
        ):
            return name
    return ""


@dataclass(frozen=True)
class Weights:
    """What is to be known of a model's weights.

    Attributes:
        parts: From a part's name (a layer, the embeddings, the pooler, the head) to a short digest. It does not depend
            on what its tensors are called, since names change from release to release.
        grain: The narrowest type that holds every weight without loss, those of a new head apart.
        digest: One of all tensors with their names, types and shapes.
    """

    parts: Mapping[str, str]
    grain: str
    digest: str


def weights_of(module: Any) -> Weights:
    """Return what is to be known of a model's weights."""
    tensors: dict[str, list[bytes]] = {}
    whole = hashlib.sha256()
    narrow = {"bfloat16", "float16"}
    for name, weight in module.state_dict().items():
        if not hasattr(weight, "numel") or not weight.is_floating_point():  # what is quantised is told by its type
            continue
        plain = weight.detach().float().cpu().contiguous()
        digest = hashlib.sha256(plain.numpy()).digest()
        tensors.setdefault(_part(name), []).append(digest)
        whole.update(f"{name} {weight.dtype} {tuple(weight.shape)} {digest.hex()}\n".encode())
        if _part(name) in HEADS:
            continue
        narrow -= {each for each in narrow if not _holds(each, plain)}
    digests = {part: short_digest(b"".join(sorted(each)), 8) for part, each in tensors.items()}
    return Weights(digests, min(narrow, default="float32"), whole.hexdigest())


def _holds(kind: str, tensor: Any) -> bool:
    """Tell whether a narrower type holds all of a tensor without loss; in blocks, to spare time and memory."""
    blocks = tensor.view(-1).split(_BLOCK)
    return all(bool(((each.bfloat16() if kind == "bfloat16" else each.half()) == each).all()) for each in blocks)


def _part(name: str) -> str:
    """Return the part a tensor belongs to: ``layer 3``, or the first word of its name that says anything."""
    if layer := re.search(r"\.(?:layers?|albert_layers|h|block)\.(\d+)\.", f".{name}"):
        return f"layer {layer[1]}"
    words = [word for word in name.split(".") if not word.isdigit()]
    for known in ("embeddings", "pooler", *sorted(HEADS)):
        if known in words:
            return known
    return "other" if len(words) < 3 else words[-3]


def _types(values: Iterable[Any]) -> Iterator[str]:
    """Give the types of tensors, those packed in tuples too; of integers only the quantised."""
    for value in values:
        if isinstance(value, tuple):
            yield from _types(value)
        elif hasattr(value, "numel") and (value.is_floating_point() or value.is_quantized):
            yield str(value.dtype).removeprefix("torch.")


def _attention(module: Any) -> str:
    for part in module.modules():
        if implementation := getattr(getattr(part, "config", None), "_attn_implementation", None):
            return str(implementation)
    return ""


def _config(module: Any) -> dict[str, Any]:
    """Return those plain values of the model's config that decide what it computes."""
    for part in module.modules():
        if hasattr(getattr(part, "config", None), "to_dict"):
            return {
                name: value
                for name, value in sorted(part.config.to_dict().items())
                if isinstance(value, bool | int | float | str) and _TELLING.search(name) and "output" not in name
            }
    return {}
