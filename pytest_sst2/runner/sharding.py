"""Shards: the cells of one run divided among several machines, alike on each, by what they cost before."""

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

# What a cell of a built-in method takes beside a linear probe's, where no baseline says more. Measured on the pocket
# set with the bundled minilm, recipe quick, one thread, nothing cached: 18.4, 10.6, 13.5, 0.08 and 0.001 s.
_BESIDE_A_PROBE = {"fine-tune": 1.7, "linear-probe": 1.0, "torch-probe": 1.3, "tfidf": 0.007, "majority": 0.0001}
# A method that somebody added is taken for the dearest of these: to have a shard for itself does no harm.
_UNHEARD_OF = max(_BESIDE_A_PROBE.values())
# Sums of the same numbers in another order differ by less.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Division:
    """Which cells of a run are measured in this shard; plain values, so that an xdist worker can tell its controller.

    Attributes:
        shard: ``3/8``.
        planned: The ids of all cells of all shards, in the order of the run.
        mine: Those of this shard, likewise.
        seconds: What these cost by the baseline; without one, in units of a linear probe.
        total_seconds: What all of them cost, likewise.
        baseline: The name of the baseline; empty without one.
    """

    shard: str
    planned: tuple[str, ...]
    mine: tuple[str, ...]
    seconds: float
    total_seconds: float
    baseline: str

    @property
    def others(self) -> frozenset[str]:
        """The ids of the cells that are measured in another shard."""
        return frozenset(self.planned) - frozenset(self.mine)

    @property
    def line(self) -> str:
        """What is said of it: ``shard 3/8: 5 of 40 cells, about 3 min of 25 min by baseline 'main'``."""
        head = f"shard {self.shard}: {len(self.mine) or 'none'} of {len(self.planned)} cells"
        if not self.mine:
            return f"{head}: there is nothing left for it, and fewer shards would do"
        if not self.baseline:
            return f"{head}, by method: no baseline is known"
        shares = f"about {duration(self.seconds)} of {duration(self.total_seconds)}"
        return f"{head}, {shares} by baseline {self.baseline!r}"


def divide(cells: Iterable[Cell], shard: Shard, known: Results | None) -> Division:
    """Return which of the cells are this shard's: the same in every shard that has the same baseline.

    Args:
        cells: All cells of the run in their order; one that comes again counts once.
        shard: Which part this is.
        known: The baseline that tells what cells cost; None where there is none.
    """
    distinct = list({cell.id: cell for cell in cells}.values())
    cost = Costs(known.records if known else ())
    shard_of = placed(distinct, cost, shard.of)
    mine = [cell for cell in distinct if shard_of[cell.id] == shard.number]
    return Division(
        shard=str(shard),
        planned=tuple(cell.id for cell in distinct),
        mine=tuple(cell.id for cell in mine),
        seconds=math.fsum(map(cost, mine)),
        total_seconds=math.fsum(map(cost, distinct)),
        baseline=known.origin if known else "",
    )


def placed(cells: Sequence[Cell], cost: Callable[[Cell], float], count: int) -> dict[str, int]:
    """Return the shard, from 1, of every cell by its id.

    The dearest comes first, each to the shard that has the least so far (longest processing time first): the fullest
    shard has at most 4/3 of what the best division of the same units would leave it (Graham 1969, *SIAM Journal on
    Applied Mathematics* 17). Ties go by id and by the shard's number, so that every shard divides alike.

    Args:
        cells: Distinct ones.
        cost: What each takes.
        count: How many shards there are; those beyond the number of cells get none.
    """
    fair_share = math.fsum(map(cost, cells)) / count
    weighed = [(-_seconds(unit, cost), min(cell.id for cell in unit), unit) for unit in _units(cells, cost, fair_share)]
    weighed.sort(key=lambda each: each[:2])
    shards = [(0.0, number) for number in range(1, min(count, len(cells)) + 1)]
    found: dict[str, int] = {}
    for negative_seconds, _, unit in weighed:
        load, number = shards[0]
        heapq.heapreplace(shards, (load - negative_seconds, number))
        found |= {cell.id: number for cell in unit}
    return found


def _units(cells: Sequence[Cell], cost: Callable[[Cell], float], fair_share: float) -> list[list[Cell]]:
    """Return what stays together: cells of one frozen encoder, unless they are more than a shard's fair share."""
    by_encoder: dict[str, list[Cell]] = defaultdict(list)
    for cell in cells:
        by_encoder[cell.shared_encoder].append(cell)
    units = [[cell] for cell in by_encoder.pop("", [])]
    for together in by_encoder.values():
        fits = _seconds(together, cost) <= fair_share * (1 + _ROUNDING)
        units += [together] if fits else [[cell] for cell in together]
    return units


def _seconds(cells: Iterable[Cell], cost: Callable[[Cell], float]) -> float:
    return math.fsum(map(cost, cells))


class Costs:
    """From a cell to the seconds that it took before, or that cells like it took.

    A record of which a phase came from a cache says too little: it counts only where neither the cell nor another seed
    of it was measured in full. Records of other data or another recipe count, since what matters is how cells compare.

    Args:
        records: Those of the baseline; without any, costs are in units of a linear probe.
    """

    def __init__(self, records: Iterable[Record]) -> None:
        self._in_full: dict[Hashable, list[float]] = defaultdict(list)
        self._cached: dict[Hashable, list[float]] = defaultdict(list)
        for record in records:
            seconds, in_full = _median_seconds(record)
            for key in _keys(record.model, record.method, record.seed):
                (self._in_full if in_full else self._cached)[key].append(seconds)

    def __call__(self, cell: Cell) -> float:
        """Return the seconds of the cell, else of its other seeds, of its method, of all cells; else a rough guess."""
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
        return _BESIDE_A_PROBE.get(cell.method.name, _UNHEARD_OF)


def _keys(model: str | None, method: str, seed: int) -> tuple[Hashable, Hashable, Hashable, Hashable]:
    """Return under what a cell's seconds are kept, from the cell itself to all there are."""
    return (model, method, seed), (model, method), method, ()


def _median_seconds(record: Record) -> tuple[float, bool]:
    """Return a record's median seconds, and whether they are of rounds in which nothing came from a cache."""
    in_full = [made.seconds for made in record.rounds if not any(phase.cached for phase in made.phases)]
    return statistics.median(in_full or [made.seconds for made in record.rounds]), bool(in_full)
