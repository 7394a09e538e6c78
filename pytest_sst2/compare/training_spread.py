"""Which trainings are random, and how much the accuracy differs between trainings of one recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_sst2.results.floors import Floor
from pytest_sst2.results.record import Record

# Two trainings on each side have one degree of freedom each, and t at 1 % is 32. An upper figure is more powerful.
MINIMUM_SEEDS = 3


@dataclass(frozen=True)
class TrainingSpread:
    """The standard deviation of a cell's accuracy over trainings, a fraction.

    Attributes:
        degrees_of_freedom: Infinite for a stated figure.
        source: Where it comes from, for a reader.
    """

    sd: float
    degrees_of_freedom: float
    source: str


# Repeated fine-tuning moved the accuracy by 0.5 to 2 points (sd). This upper figure is used where nothing is known.
STATED_SPREAD = TrainingSpread(0.025, math.inf, "an assumed spread of 2.5 points between trainings")


def spread_of_floors(floors: Iterable[Floor | None]) -> TrainingSpread:
    """Return the spread that the first calibrated floor was made with; without one, the stated figure."""
    for floor in floors:
        if floor is not None and floor.sd is not None and floor.seeds is not None and floor.seeds > 1:
            points = f"{100 * floor.sd:.2f} points"
            source = f"the spread of the {floor.seeds} seeds that the floor was calibrated with ({points})"
            return TrainingSpread(floor.sd, floor.seeds - 1, source)
    return STATED_SPREAD


def trains_in_steps(record: Record) -> bool:
    """Return whether a cell was trained in random steps, unlike a probe or another method without an optimiser."""
    if record.fingerprint is None:  # schema 1
        return bool(record.epochs)
    return record.fingerprint.trains_in_steps


def took_same_course(old: Record, new: Record) -> bool:
    """Return whether two trainings ended with the same weights to the last bit; False if that was not recorded."""
    courses = [record.fingerprint.training if record.fingerprint else None for record in (old, new)]
    weights = [course.weights if course else "" for course in courses]
    return bool(weights[0]) and weights[0] == weights[1]


def shared_encoder(record: Record) -> str:
    """Return the model whose frozen encoder a probe shares with other probes; empty for any other cell."""
    has_encoder = record.fingerprint is not None and record.fingerprint.encoder is not None
    return record.model or "" if has_encoder and not trains_in_steps(record) else ""
