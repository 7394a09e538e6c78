"""Division of a run's cells among shards (``--sst2-shard``) by their expected seconds, the same on every machine."""

from __future__ import annotations

import heapq
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

from pytest_sst2.config.settings import Shard
from pytest_sst2.config.specs import Cell
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import duration

# Seconds of a cell in units of a linear probe, for runs without a baseline. Measured on the pocket set with the bundled
# minilm, recipe quick, one thread, nothing cached: 18.4, 10.6, 13.5, 0.08 and 0.001 s; as-is 3.6 s next to 7.9 s.
_RELATIVE_COSTS = {
    "fine-tune": 1.7,
    "linear-probe": 1.0,
    "torch-probe": 1.3,
    "as-is": 0.45,
    "tfidf": 0.007,
    "majority": 0.0001,
}
# An added method counts as the most expensive built-in one, because a shard with too few cells does no harm.
_UNKNOWN_METHOD_COST = max(_RELATIVE_COSTS.values())
# Sums of the same numbers in another order differ by less than this.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Division:
    """The cells of this shard. Plain values only, because an xdist worker sends it to the controller.

    Attributes:
        shard: ``3/8``.
        planned: Ids of the cells of all shards, in the order of the run.
        mine: Ids of the cells of this shard, in the order of the run.
        seconds: Expected seconds of this shard by the baseline; without one, in units of a linear probe.
        total_seconds: Expected seconds of all shards, in the same unit.
        baseline: Name of the baseline; empty without one.
    """

    shard: str
    planned: tuple[str, ...]
    mine: tuple[str, ...]
    seconds: float
    total_seconds: float
    baseline: str

    @property
    def others(self) -> frozenset[str]:
        """Ids of the cells of the other shards."""
        return frozenset(self.planned) - frozenset(self.mine)

    @property
    def line(self) -> str:
        """A summary: ``shard 3/8: 5 of 40 cells, about 3 min of 25 min by baseline 'main'``."""
        head = f"shard {self.shard}: {len(self.mine) or 'none'} of {len(self.planned)} cells"
        if not self.mine:
            return f"{head}: nothing is left for it, use fewer shards"
        if not self.baseline:
            return f"{head}, divided by method because there is no baseline"
        seconds = f"about {duration(self.seconds)} of {duration(self.total_seconds)}"
        return f"{head}, {seconds} by baseline {self.baseline!r}"


def divide(cells: Iterable[Cell], shard: Shard, known: Results | None, *, seeds_together: bool = False) -> Division:
    """Return the division of the cells. It is the same in every shard with the same baseline.

    Args:
        cells: All cells of the run in their order. Duplicates count once.
        shard: Number of this shard, and of all shards.
        known: The baseline with the seconds of cells; None without one.
        seeds_together: Whether all seeds of a model and method are in one shard.
    """
    distinct = list({cell.id: cell for cell in cells}.values())
    cost = Costs(known.records if known else ())
    shard_of = assign_shards(distinct, cost, shard.of, seeds_together=seeds_together)
    mine = [cell for cell in distinct if shard_of[cell.id] == shard.number]
    return Division(
        shard=str(shard),
        planned=tuple(cell.id for cell in distinct),
        mine=tuple(cell.id for cell in mine),
        seconds=math.fsum(map(cost, mine)),
        total_seconds=math.fsum(map(cost, distinct)),
        baseline=known.origin if known else "",
    )


def assign_shards(
    cells: Sequence[Cell], cost: Callable[[Cell], float], count: int, *, seeds_together: bool = False
) -> dict[str, int]:
    """Return the shard of every cell, from 1, by the cell's id.

    The most expensive unit comes first, each to the shard with the least work so far (longest processing time first).
    The fullest shard then has at most 4/3 of the work of the best division of the same units (Graham 1969, *SIAM
    Journal on Applied Mathematics* 17). Ties are broken by id and shard number, so every shard gets the same result.

    Args:
        cells: Distinct cells.
        cost: Returns the expected seconds of a cell.
        count: Number of shards. Shards beyond the number of cells are empty.
        seeds_together: Whether all seeds of a model and method are in one shard.
    """
    fair_share = math.fsum(map(cost, cells)) / count
    units = _units(cells, cost, fair_share, seeds_together=seeds_together)
    by_cost = [(-_seconds(unit, cost), min(cell.id for cell in unit), unit) for unit in units]
    by_cost.sort(key=lambda entry: entry[:2])
    shards = [(0.0, number) for number in range(1, min(count, len(cells)) + 1)]
    shard_of: dict[str, int] = {}
    for negative_seconds, _, unit in by_cost:
        load, number = shards[0]
        heapq.heapreplace(shards, (load - negative_seconds, number))
        shard_of |= {cell.id: number for cell in unit}
    return shard_of


def _units(
    cells: Sequence[Cell], cost: Callable[[Cell], float], fair_share: float, *, seeds_together: bool
) -> list[list[Cell]]:
    """Return the cells that stay in one shard: those of one frozen encoder, unless they exceed a fair share."""
    by_encoder: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_encoder[cell.shared_encoder].append(cell)
    split = _by_model_and_method if seeds_together else _one_by_one
    units = split(by_encoder.pop("", []))
    for sharing in by_encoder.values():
        fits = _seconds(sharing, cost) <= fair_share * (1 + _ROUNDING)
        units += [sharing] if fits else split(sharing)
    return units


def _one_by_one(cells: Sequence[Cell]) -> list[list[Cell]]:
    return [[cell] for cell in cells]


def _by_model_and_method(cells: Sequence[Cell]) -> list[list[Cell]]:
    groups: dict[tuple[str | None, str], list[Cell]] = defaultdict(list)
    for cell in cells:
        groups[cell.key].append(cell)
    return list(groups.values())


def _seconds(cells: Iterable[Cell], cost: Callable[[Cell], float]) -> float:
    return math.fsum(map(cost, cells))


class Costs:
    """Maps a cell to its expected seconds: those of its record, or of records of similar cells.

    A record with a cached phase is too short. It counts only if the cell was not measured in full with any seed.
    Records of other data or another recipe count too, because only the ratios between cells matter.

    Args:
        records: Records of the baseline. Without any, costs are in units of a linear probe.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._in_full: dict[Hashable, list[float]] = defaultdict(list)
        self._cached: dict[Hashable, list[float]] = defaultdict(list)
        for record in records:
            seconds, in_full = _median_seconds(record)
            for key in _keys(record.model, record.method, record.seed):
                (self._in_full if in_full else self._cached)[key].append(seconds)

    def __call__(self, cell: Cell) -> float:
        """Return the mean seconds of the cell, its other seeds, its method, or all cells; or an estimate."""
        cells, seeds, method, everything = _keys(cell.model_name, cell.method.name, cell.seed)
        for known, keys in (
            (self._in_full, (cells, seeds)),
            (self._cached, (cells, seeds)),
            (self._in_full, (method,)),
            (self._cached, (method,)),
            (self._in_full, (everything,)),
            (self._cached, (everything,)),
        ):
            for key in keys:
                if key in known:
                    return statistics.fmean(known[key])
        return _RELATIVE_COSTS.get(cell.method.name, _UNKNOWN_METHOD_COST)


def _keys(model: str | None, method: str, seed: int) -> tuple[Hashable, Hashable, Hashable, Hashable]:
    """Return the keys of a cell's seconds, from the cell itself to all cells."""
    return (model, method, seed), (model, method), method, ()


def _median_seconds(record: Record) -> tuple[float, bool]:
    """Return a record's median seconds, and whether they are of rounds without a cached phase."""
    in_full = [measured.seconds for measured in record.rounds if not any(phase.cached for phase in measured.phases)]
    return statistics.median(in_full or [measured.seconds for measured in record.rounds]), bool(in_full)
