"""Looks: the decisions of a run with ``--sst2-seeds auto`` on the way, which its results file keeps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Look:
    """A decision about a cell after some of its seeds.

    Attributes:
        seeds: The seeds that it had, in the order in which they run.
        alpha: The part of the significance level that it spent.
        verdict: The verdict at this look; ``undecided`` if the next seeds were to follow.
        question: Digest of the baseline's records of the cell, the tolerance and alpha. Other looks are of another
            comparison.
        is_hopeless: Whether the cell is undecided and all its seeds would hardly decide it, so that no more follow.
    """

    model: str | None
    method: str
    seeds: tuple[int, ...]
    alpha: float
    verdict: str
    question: str
    is_hopeless: bool = False

    @property
    def is_last(self) -> bool:
        """Whether no look follows: the cell is decided, or more seeds would hardly decide it."""
        return self.is_hopeless or self.verdict != "undecided"


@dataclass(frozen=True)
class Skipped:
    """A seed that was not measured, because its cell was decided before; ``reason`` says how."""

    cell: str
    model: str | None
    method: str
    seed: int
    reason: str


def last_looks(looks: Iterable[Look]) -> dict[tuple[str | None, str], Look]:
    """Return the last look at each cell, by model and method."""
    return {(look.model, look.method): look for look in sorted(looks, key=lambda look: len(look.seeds))}


def spent(looks: Sequence[Look], measured_again: Collection[int]) -> list[Look]:
    """Return the looks at a cell whose seeds were measured again: spent, and no longer a decision."""
    seeds = set(measured_again)
    return [
        replace(look, verdict="undecided", is_hopeless=False) if seeds.intersection(look.seeds) else look
        for look in looks
    ]
