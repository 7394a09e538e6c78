"""Look up the evaluation sentences of records, which store none, in local copies of their data sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_sst2.config.recipes import PRESETS
from pytest_sst2.data.sources import HUB_ID, Source, cached_hub, load_folder, load_pocket
from pytest_sst2.data.splits import draw_splits
from pytest_sst2.results.record import Record
from pytest_sst2.utils.errors import Sst2Error

SentencesOf = Callable[[Record], Sequence[str] | None]
"""Maps a record to its evaluation sentences in order, or to None if they are not available."""


class SentenceLookup:
    """Draws the evaluation sentences of a record again from its data set, and checks them against the record's digest.

    ``source_for`` maps a record to a local copy of its data set, or to None if there is none.
    """

    def __init__(self, source_for: Callable[[Record], Source | None]) -> None:
        self._source_for = source_for
        self._by_digest: dict[str, Sequence[str] | None] = {}

    def __call__(self, record: Record) -> Sequence[str] | None:
        """Return the record's evaluation sentences, or None if they are not available."""
        digest = record.dataset.digest
        if digest not in self._by_digest:
            self._by_digest[digest] = self._look_up(record)
        return self._by_digest[digest]

    def _look_up(self, record: Record) -> Sequence[str] | None:
        if record.recipe.name not in PRESETS:  # from another release, which may draw other rows
            return None
        try:
            source = self._source_for(record)
            if source is None:
                return None
            splits = draw_splits(source, record.recipe, record.seed)
        except Sst2Error:  # damaged, or too small to be the record's data
            return None
        return splits.evaluation.sentences if splits.info.digest == record.dataset.digest else None


def local_sources(folder: Path | None = None) -> Callable[[Record], Source | None]:
    """Return a function that finds a record's data set on this machine, without using the network.

    It searches ``folder`` if given, otherwise the pocket set and the Hub's cache.
    """
    given = load_folder(folder) if folder is not None else None
    known: dict[str, Source | None] = {}

    def find(record: Record) -> Source | None:
        if given is not None:
            return given
        name = record.dataset.name
        if name not in known:
            known[name] = load_pocket() if name == "pocket" else cached_hub() if name in ("sst2", HUB_ID) else None
        return known[name]

    return find
