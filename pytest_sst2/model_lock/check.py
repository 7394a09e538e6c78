"""Compare a model with its lock: causes, and whether vectors of before and after may stand in one index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pytest_sst2.compare.drift.causes import model_causes
from pytest_sst2.compare.drift.evidence import Cause
from pytest_sst2.compare.drift.loaded_weights import LoadedModel
from pytest_sst2.model_lock.lock_file import ModelLock, OwnSentences, read_lock
from pytest_sst2.model_lock.vectors import Mixing, mixing
from pytest_sst2.results.packing import unpacked_digests
from pytest_sst2.results.probe_sentences import probe_sentences_digest
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural, truncate

# Vectors mix if a new one finds at least this share of the neighbours that the earlier one found.
SAME_NEIGHBOURS = 0.98
# The projections in float16 show a distance of the cosine from 1 down to 1e-7.
_MOVED = 1e-6
_SHOWN_CHARACTERS = 60
# Embeddings of other lengths, by more than this share, have other dot products.
_SAME_LENGTH = 0.01


@dataclass(frozen=True)
class LockCheck:
    """A model, compared with its lock.

    Attributes:
        name: What the lock is called.
        causes: What differs; notes among them changed no number that was measured.
        versions: The packages with another version, as ``transformers 5.23.0, was 4.57.1``.
        mixing: What an index of the earlier vectors is worth; None if their number of dimensions differs.
        dimensions: Dimensions of a vector, earlier and now.
        sentences: Number of sentences of the vectors.
        lengths: Mean length of an embedding, earlier and now.
    """

    name: str
    causes: tuple[Cause, ...]
    versions: tuple[str, ...]
    mixing: Mixing | None
    dimensions: tuple[int, int]
    sentences: int
    lengths: tuple[float, float]

    @property
    def is_same(self) -> bool:
        """Whether nothing differs that changed a number."""
        return all(cause.is_note for cause in self.causes)

    @property
    def mixes(self) -> bool:
        """Whether vectors of before and after may stand in one index that compares them by cosine."""
        return self.mixing is not None and self.mixing.same_neighbours >= SAME_NEIGHBOURS

    @property
    def headline(self) -> str:
        """The first line of the text."""
        if self.is_same:
            return f"SAME: the model does what {self.name} says, for {plural(self.sentences, 'sentence')}"
        count = sum(not cause.is_note for cause in self.causes)
        return f"DIFFERS: {plural(count, 'difference')} from {self.name}"

    @property
    def mixing_sentence(self) -> str:
        """Whether the vectors mix, with the measured error."""
        if self.mixing is None:
            before, after = self.dimensions
            return f"Vectors of before and after do not mix: they have {after} dimensions, had {before}."
        words = "do not mix"
        if self.mixes:
            is_same_length = max(self.lengths) - min(self.lengths) <= _SAME_LENGTH * max(self.lengths)
            words = "mix" if is_same_length else "mix by cosine, but not by dot product, because their lengths differ"
        cosines = f"cosine {self.mixing.cosine:.6f} on average, {self.mixing.lowest_cosine:.6f} at worst"
        found = f"a new vector finds {100 * self.mixing.same_neighbours:.1f} % of the nearest earlier ones"
        return f"Vectors of before and after {words} ({cosines}; {found})."

    def lines(self) -> Iterator[str]:
        """Yield the result as text."""
        yield self.headline
        for cause in self.causes:
            yield f"{'note' if cause.is_note else 'drift'}: {cause.sentence}"
        yield self.mixing_sentence
        if self.versions:
            yield f"versions: {'; '.join(self.versions)}"

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain values."""
        causes = [{**asdict(cause), "rank": cause.rank.name.lower()} for cause in self.causes]
        return {
            "lock": self.name,
            "same": self.is_same,
            "mixes": self.mixes,
            "causes": causes,
            "versions": list(self.versions),
            "mixing": asdict(self.mixing) if self.mixing else None,
            "lengths": list(self.lengths),
        }


def check_file(path: Path, encoder: Any = None, *, model: str = "", **how: Any) -> LockCheck:
    """Return the differences between a model and the lock in a file.

    Args:
        path: The lock.
        encoder: A loaded ``SentenceTransformer``; None to load the model.
        model: The model to load; empty for the one that was locked.
        **how: Arguments of ``load_encoder``.

    Raises:
        Sst2Error: The lock cannot be read, or the model cannot be loaded.
    """
    from pytest_sst2.model_lock.load import load_encoder
    from pytest_sst2.model_lock.observe import lock_of

    lock, weights = read_lock(path), None
    if encoder is None:
        encoder, weights = load_encoder(model or lock.model, **how)
    own = lock.own.sentences if lock.own else ()
    now, embeddings = lock_of(encoder, model or lock.model, weights=weights, sentences=own)
    return check_lock(path.name, lock, now, embeddings)


def check_lock(name: str, lock: ModelLock, now: ModelLock, embeddings: np.ndarray) -> LockCheck:
    """Return the differences between a model and its lock.

    Args:
        name: What the lock is called in the sentences.
        lock: The lock.
        now: A new lock of the model with the same sentences.
        embeddings: The embeddings behind ``now.vectors``, shape (n, d).

    Raises:
        Sst2Error: The lock has other probe sentences than this release.
    """
    if lock.probe_sentences != probe_sentences_digest():
        raise Sst2Error(f"{name!r} was made with other probe sentences than this release has. Make it again.")
    settings = {}
    if lock.max_length != now.max_length:
        settings["max_length"] = f"maximum length {_tokens(now.max_length)}, was {_tokens(lock.max_length)}"
    causes = model_causes(_model(lock), _model(now), settings)
    mixed = mixing(lock.vectors, embeddings)
    if all(cause.is_note for cause in causes) and mixed is not None:
        causes = (*causes, *_vector_causes(lock, now, mixed))
    versions = [
        f"{package} {now.versions.get(package, 'missing')}, was {version}"
        for package, version in lock.versions.items()
        if now.versions.get(package) != version
    ]
    dimensions = (lock.vectors.dimensions, now.vectors.dimensions)
    lengths = (lock.encoder.length, now.encoder.length)
    return LockCheck(name, causes, tuple(versions), mixed, dimensions, len(lock.sentences), lengths)


def _model(lock: ModelLock) -> LoadedModel:
    return LoadedModel(lock.encoder, lock.tokens, lock.weights)


def _tokens(length: int | None) -> str:
    return "without a limit" if length is None else f"{length} tokens"


def _vector_causes(lock: ModelLock, now: ModelLock, mixed: Mixing) -> Iterator[Cause]:
    """Yield the differences for sentences that the fingerprint lacks: own ones, and half of the probe sentences."""
    different = []
    if lock.own is not None and now.own is not None:
        different = [number for number, is_same in enumerate(_same_ids(lock.own, now.own)) if not is_same]
    if different:
        first = truncate(lock.sentences[different[0]], _SHOWN_CHARACTERS)
        count = f"token ids differ for {len(different)} of your {len(lock.sentences)} sentences"
        yield Cause(f"{count} (first: “{first}”), and for no probe sentence", "tokens", rows=len(different))
    elif 1 - mixed.lowest_cosine > _MOVED:
        cosine = f"cosine {mixed.lowest_cosine:.6f} at worst"
        own = f"embeddings of your sentences differ ({cosine}), those of the probe sentences do not"
        yield Cause(own if lock.own else f"embeddings of some probe sentences differ ({cosine})", "embeddings")


def _same_ids(old: OwnSentences, new: OwnSentences) -> list[bool]:
    """Return for each sentence whether its token ids are the same; empty if one side lacks them."""
    if not (old.ids and new.ids):
        return []
    return [one == other for one, other in zip(unpacked_digests(old.ids), unpacked_digests(new.ids), strict=True)]
