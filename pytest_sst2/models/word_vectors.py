"""Tables of word vectors without a transformer: their dtype, and whether their vocabulary fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_sst2.models.layout import STATIC_FILES
from pytest_sst2.utils.errors import Sst2Error


def convert_word_vectors(encoder: Any, dtype: Any) -> None:
    """Convert the tables of an encoder to a dtype: sentence-transformers keeps that of the file."""
    for module, _ in _tables(encoder):
        module.to(dtype)


def check_word_vectors(name: str, folder: Path, encoder: Any) -> None:
    """Refuse a table with fewer vectors than its vocabulary has words.

    Args:
        name: The model's name.
        folder: The model's folder.
        encoder: A ``SentenceTransformer``.

    Raises:
        Sst2Error: A word has no vector.
    """
    for module, table in _tables(encoder):
        words = vocabulary_of(module.tokenizer)
        if max(words, default=0) >= len(table):
            raise Sst2Error(
                f"model {name!r}: the vocabulary of its {type(module).__name__} in {folder} has ids up to "
                f"{max(words):,}, but the model has vectors for {len(table):,}. They do not belong together. Use files "
                "of one checkpoint."
            )


def vocabulary_of(tokenizer: Any) -> dict[int, str]:
    """Return the words of a tokenizer that is not of transformers, by their ids; empty if it has no vocabulary."""
    words: Any = getattr(tokenizer, "get_vocab", dict)()
    return {number: word for word, number in words.items()} if isinstance(words, dict) else dict(enumerate(words))


def _tables(encoder: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the modules of an encoder that have a table of word vectors, with that table."""
    for module in encoder.modules():
        if type(module).__name__ in STATIC_FILES:
            yield from ((module, part.weight) for part in module.children())
