"""Cause: one difference between two records, with the evidence that implies it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Literal

# The steps of the chain, the earliest first.
Kind = Literal[
    "declared",
    "rows",
    "tokens",
    "weights",
    "config",
    "arithmetic",
    "modules",
    "embeddings",
    "settings",
    "training",
    "predictions",
]


_NUMBER = re.compile(r"[+−-]?\d+(?:[.,]\d+)*(?:e[+-]?\d+)?")


class Rank(IntEnum):
    """What a cause explains. Causes are listed in this order.

    ``DECLARED``: the user changed it on purpose. It is no drift, and its effect on later steps is not measured.
    ``EXPLAINS``: its effect was measured, and it explains all differences in later steps.
    ``DIFFERS``: it was measured, but its effect on later steps is unknown.
    ``NOTE``: it changed no number that was measured. It is no drift.
    """

    DECLARED = -1
    EXPLAINS = 0
    DIFFERS = 1
    NOTE = 2


@dataclass(frozen=True)
class Cause:
    """One difference between two records of a cell.

    Attributes:
        sentence: The statement for a reader. It says no more than the evidence implies.
        kind: The step of the chain in which the difference was measured.
        where: The place within the step, such as a module, a tensor, a setting or a training step; empty if unknown.
        before: The earlier value as text; empty if the difference has no values.
        after: The later value as text.
        rows: The number of sentences concerned; None if it does not apply.
        rank: What the cause explains.
    """

    sentence: str
    kind: Kind
    where: str = ""
    before: str = ""
    after: str = ""
    rows: int | None = None
    rank: Rank = Rank.EXPLAINS

    @property
    def is_note(self) -> bool:
        """Whether the cause is no drift: it changed no number that was measured, or was changed on purpose."""
        return self.rank in (Rank.NOTE, Rank.DECLARED)

    @property
    def is_declared(self) -> bool:
        """Whether the cause was declared as changed on purpose."""
        return self.rank is Rank.DECLARED

    def __str__(self) -> str:
        return self.sentence


def causes_of(kind: Kind, sentences: Iterable[str]) -> list[Cause]:
    """Return a cause without further evidence for each sentence."""
    return [Cause(sentence, kind) for sentence in sentences]


def over_seeds(causes_by_seed: Mapping[int, Sequence[Cause]]) -> tuple[Cause, ...]:
    """Return the causes of all seeds of a cell by rank, each once.

    Of those that differ between the seeds in their numbers only, the one that concerns most sentences stays. It names
    its seed, unless all seeds have the same.
    """
    alike: dict[tuple[object, ...], list[tuple[int, Cause]]] = {}
    for seed, causes in causes_by_seed.items():
        counts: Counter[tuple[object, ...]] = Counter()
        for cause in causes:
            form = (cause.kind, cause.rank, _NUMBER.sub("", cause.sentence))
            counts[form] += 1
            alike.setdefault((*form, counts[form]), []).append((seed, cause))
    return ranked(_for_seeds(group, len(causes_by_seed)) for group in alike.values())


def _for_seeds(group: Sequence[tuple[int, Cause]], seeds: int) -> Cause:
    seed, cause = max(group, key=lambda one: one[1].rows or 0)
    others = len(group) - 1
    if others + 1 == seeds and all(other.sentence == cause.sentence for _, other in group):
        return cause
    note = f", and similar with {others} other{'s' if others > 1 else ''}" if others else " only"
    return replace(cause, sentence=f"{cause.sentence} (seed {seed}{note})")


def ranked(causes: Iterable[Cause]) -> tuple[Cause, ...]:
    """Return the causes by rank, each sentence once; within a rank the order is kept."""
    distinct: dict[str, Cause] = {}
    for cause in causes:
        distinct.setdefault(cause.sentence, cause)
    return tuple(sorted(distinct.values(), key=lambda cause: cause.rank))
