"""The sentences of records, which hold none: looked up in the data they were measured on, or not shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.data.sources import HUB_ID, Source, cached_hub, load_folder, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error

SentencesOf = Callable[[Record], Sequence[str] | None]
"""From a record to its evaluation sentences in their order; None where they are not at hand."""


class SentenceBook:
    """The evaluation sentences of records, drawn again from a source and checked against the record's digest.

    Args:
        source_for: From a record to the data set that it may have been measured on; None where there is none at hand.
    """

    def __init__(self, source_for: Callable[[Record], Source | None]) -> None:
        self._source_for = source_for
        self._found: dict[str, Sequence[str] | None] = {}

    def __call__(self, record: Record) -> Sequence[str] | None:
        """Return the record's evaluation sentences, None where they cannot be had."""
        digest = record.dataset.digest
        if digest not in self._found:
            self._found[digest] = self._look_up(record)
        return self._found[digest]

    def _look_up(self, record: Record) -> Sequence[str] | None:
        if record.recipe.name not in PRESETS:  # of another release, which may have drawn otherwise
            return None
        try:
            source = self._source_for(record)
            if source is None:
                return None
            splits = draw_splits(source, record.recipe, record.seed)
        except Sst2Error:  # damaged, or too small to be the data it was measured on
            return None
        return splits.evaluation.sentences if splits.info.digest == record.dataset.digest else None


def sources_at_hand(folder: Path | None = None) -> Callable[[Record], Source | None]:
    """Return what finds a record's data on this machine, without asking the network.

    Args:
        folder: Where the user says that it lies; without it, the pocket set and the Hub's cache are looked into.

    Raises:
        Sst2Error: The folder holds no data set.
    """
    named = load_folder(folder) if folder is not None else None
    known: dict[str, Source | None] = {}

    def find(record: Record) -> Source | None:
        if named is not None:
            return named
        name = record.dataset.name
        if name not in known:
            known[name] = _at_hand(name)
        return known[name]

    return find


def _at_hand(name: str) -> Source | None:
    if name == "pocket":
        return load_pocket()
    return cached_hub() if name in ("sst2", HUB_ID) else None
