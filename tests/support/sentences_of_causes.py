"""The causes of two records as plain sentences."""

from __future__ import annotations

from collections.abc import Collection

from pytest_sst2.compare.drift.causes import drift_causes
from pytest_sst2.results.record import Record


def drift_sentences(before: Record, after: Record, *, seeded: Collection[str] = ()) -> tuple[str, ...]:
    """Return the sentences of ``drift_causes``."""
    return tuple(map(str, drift_causes(before, after, seeded=seeded)))
