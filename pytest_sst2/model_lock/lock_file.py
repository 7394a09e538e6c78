"""ModelLock: what a loaded model does with a few sentences, and its file."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_sst2.model_lock.vectors import LARGEST_COUNT, Vectors, check_vectors
from pytest_sst2.results.fingerprint import EncoderFingerprint, TokensFingerprint
from pytest_sst2.results.packing import UNPACKING_ERRORS, json_line, unpacked_digests, unpacked_text
from pytest_sst2.results.probe_sentences import probe_sentences
from pytest_sst2.results.record import Weights
from pytest_sst2.results.validation import check_loaded_model
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.safe_read import read_json
from pytest_sst2.utils.typed_json import read_plain

_FORMAT = "pytest-sst2 model lock"
_VERSION = 1
# Far above any lock: 256 own sentences of 512 tokens.
_LARGEST_BYTES = 2**23
# Own sentences, and characters of one.
_LEAST, _LONGEST = 2, 10_000


@dataclass(frozen=True)
class OwnSentences:
    """The user's own sentences.

    Attributes:
        texts: One per line; compressed, in base64.
        ids: Digests of the token ids of each sentence, as in ``TokensFingerprint.ids``; empty if they could not be
            observed.
    """

    texts: str
    ids: str

    @functools.cached_property
    def sentences(self) -> tuple[str, ...]:
        """The sentences."""
        return tuple(unpacked_text(self.texts).split("\n"))


@dataclass(frozen=True)
class ModelLock:
    """A model as loaded.

    Attributes:
        model: The alias, Hub id or folder that was locked.
        max_length: Maximum input length in tokens; None if the encoder has none.
        versions: From the packages that load and run a model to their versions.
        probe_sentences: Digest of the probe sentences.
        weights: Where the weights came from, and the digest of their files; None for an encoder in memory.
        tokens: The tokens of the probe sentences; None if the encoder's inputs are no token ids.
        encoder: Weights, modules and embeddings of the probe sentences.
        vectors: The embeddings of the user's own sentences, or else of the probe sentences.
        own: The user's own sentences; None if there are none.
    """

    model: str
    max_length: int | None
    versions: Mapping[str, str]
    probe_sentences: str
    weights: Weights | None
    tokens: TokensFingerprint | None
    encoder: EncoderFingerprint
    vectors: Vectors
    own: OwnSentences | None = None

    @property
    def sentences(self) -> tuple[str, ...]:
        """The sentences of ``vectors``."""
        return self.own.sentences if self.own else probe_sentences()


def check_own_sentences(sentences: Sequence[str]) -> None:
    """Raise ``Sst2Error`` if a lock does not take these sentences. It takes none, too."""
    if sentences and not _LEAST <= len(sentences) <= LARGEST_COUNT:
        count = plural(len(sentences), "own sentence")
        raise Sst2Error(f"{count}: a lock takes {_LEAST} to {LARGEST_COUNT}.")
    longest = max(map(len, sentences), default=0)
    if longest > _LONGEST:
        raise Sst2Error(f"an own sentence has {longest:,} characters: a lock takes at most {_LONGEST:,}.")


def write_lock(lock: ModelLock, path: Path, *, overwrite: bool) -> None:
    """Write a lock, one field per line so that a diff shows what changed.

    Raises:
        Sst2Error: The file exists and ``overwrite`` is false, or it cannot be written.
    """
    content = {"format": _FORMAT, "version": _VERSION, **dataclasses.asdict(lock)}
    lines = ",\n".join(f"{json.dumps(name)}: {_text(value)}" for name, value in content.items())
    write_atomically(path, f"{{\n{lines}\n}}\n", overwrite=overwrite)


def _text(value: Any) -> str:
    """Return a value as JSON; a mapping has one line per entry."""
    if not isinstance(value, dict) or not value:
        return json_line(value)
    entries = ",\n".join(f"  {json.dumps(name)}: {json_line(entry)}" for name, entry in value.items())
    return f"{{\n{entries}\n}}"


def read_lock(path: Path) -> ModelLock:
    """Return the lock in a file.

    Raises:
        Sst2Error: The file cannot be read or is no lock.
    """
    data = read_json(path, _LARGEST_BYTES)
    if not isinstance(data, dict) or data.pop("format", None) != _FORMAT:
        raise _not_a_lock(path, f"it does not say {_FORMAT!r}")
    if (version := data.pop("version", None)) != _VERSION:
        raise _not_a_lock(path, f"its version is {version!r}, and this release reads {_VERSION}")
    try:
        lock = read_plain(ModelLock, data)
        _check(lock)
    except (ValueError, *UNPACKING_ERRORS) as error:
        raise _not_a_lock(path, str(error)) from error
    return lock


def _check(lock: ModelLock) -> None:
    """Raise ``ValueError`` if a packed part is damaged or has another number of sentences than the others."""
    check_loaded_model(lock.tokens, lock.encoder)
    count = len(lock.sentences)
    check_vectors(lock.vectors, count)
    if lock.own is not None and lock.own.ids and len(unpacked_digests(lock.own.ids)) != count:
        raise ValueError(f"own.ids is not of {count} sentences")


def _not_a_lock(path: Path, reason: str) -> Sst2Error:
    return Sst2Error(f"{str(path)!r} is no lock of a model: {reason}. Make one: pytest-sst2 lock MODEL -o FILE.")
