"""``--sst2-seeds auto``: after which seeds a cell is looked at, and whether a look decides it.

Each look spends a part of alpha, so the probability of any false verdict over all looks is at most alpha, for any
dependence between them (Bonferroni; for group sequential tests in general: Pocock 1977, Biometrika 64). A cell that
all seeds would hardly decide gets no more of them (``futility``).
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_sst2.compare.changed_on_purpose import pair_cells
from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.futility import is_hopeless
from pytest_sst2.compare.pairing import CellKey, by_cell, pair_records
from pytest_sst2.compare.training_spread import shared_encoder
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look, last_looks, spent
from pytest_sst2.results.record import Record
from pytest_sst2.utils.hashing import short_digest


class PlannedLook(NamedTuple):
    """A look after a number of seeds, and the share of alpha that it spends."""

    seeds: int
    share: float


# The last look is after all seeds, which are 8 unless the baseline has others.
_EARLIER_LOOKS = (PlannedLook(1, 0.2), PlannedLook(3, 0.2), PlannedLook(5, 0.2))


def planned_looks(seeds: int) -> tuple[PlannedLook, ...]:
    """Return the looks at a cell with a number of seeds. The last one has all seeds and the rest of alpha."""
    earlier = tuple(look for look in _EARLIER_LOOKS if look.seeds < seeds)
    return (*earlier, PlannedLook(seeds, 1 - sum(look.share for look in earlier)))


@dataclass(frozen=True)
class Limits:
    """What the verdicts of a run are held against.

    Attributes:
        tolerance: The drop in accuracy, a fraction, that a cell may have.
        alpha: The significance level of the whole comparison.
        groups: From each compared cell to the group of cells that it is corrected with (``family``).
    """

    tolerance: float
    alpha: float
    groups: Mapping[CellKey, Hashable]

    def correction(self, record: Record) -> int:
        """Return a factor of the p-values of a record's cell that no correction for all cells exceeds.

        It is the number of groups times the cells of its own group, as far as its model tells.
        """
        own = sum(model == record.model for model, _ in self.groups) if shared_encoder(record) else 1
        return max(1, len(set(self.groups.values()))) * max(1, own)


def groups_of(before: Mapping[CellKey, Mapping[int, Record]]) -> dict[CellKey, Hashable]:
    """Return the group of each cell: the model for probes of one embedding, else the cell; from records by seed."""
    return {key: shared_encoder(next(iter(records.values()))) or key for key, records in before.items()}


class SeedSchedule:
    """Decides which seeds of each cell are needed.

    The looks at a cell depend only on the records of its first seeds. Another process with the same records takes the
    same looks, with the same results.

    Args:
        before: The baseline.
        cells: All cells of the run. ``regressed`` is corrected for those that the baseline has.
        seeds: The seeds of a cell, in the order in which they run.
        tolerance: The drop in accuracy, a fraction, that a cell may have.
        alpha: The significance level.
        declared: What changed on purpose.
        looks: The looks that an earlier part of this run took; those of another comparison are ignored.
    """

    def __init__(
        self,
        before: Results,
        cells: Iterable[CellKey],
        seeds: Sequence[int],
        *,
        tolerance: float,
        alpha: float,
        declared: Declared = NOTHING_DECLARED,
        looks: Iterable[Look] = (),
    ) -> None:
        old = by_cell(before.records)
        self._earlier = pair_cells(old, dict.fromkeys(cells), declared)
        self._before = {key: old[earlier] for key, earlier in self._earlier.items()}
        self._declared = declared
        self._seeds = tuple(seeds)
        self._limits = Limits(tolerance, alpha, groups_of(self._before))
        self._plan = planned_looks(len(self._seeds))
        self._records: dict[CellKey, dict[int, Record]] = {}
        self._failed: dict[CellKey, int] = {}
        self._looks: dict[CellKey, list[Look]] = {}
        # Cells of a cluster arrive in another thread.
        self._lock = threading.RLock()
        for look in sorted(looks, key=lambda look: len(look.seeds)):
            key = (look.model, look.method)
            if key in self._before and look.question == self._question(key):
                self._looks.setdefault(key, []).append(look)

    @property
    def looks(self) -> list[Look]:
        """The looks taken so far, cell by cell in the order of the run."""
        return [look for key in self._before for look in self._looks.get(key, ())]

    def add(self, record: Record, *, measured_again: bool = False) -> None:
        """Add a record, and take the looks that are due; a record that is known already changes nothing.

        If ``measured_again``, an earlier part of the run had another record of the seed. The looks that had it are
        spent, and decide nothing any more.
        """
        key = (record.model, record.method)
        with self._lock:
            known = self._records.setdefault(key, {}).get(record.seed)
            if key not in self._before or (known is not None and _answers(known) == _answers(record)):
                return
            if measured_again:
                self._looks[key] = spent(self._looks.get(key, []), {record.seed})
            self._records[key][record.seed] = record
            self._failed.pop(key, None)
            while look := self._due(key):
                self._looks.setdefault(key, []).append(look)

    def add_failure(self, key: CellKey, seed: int) -> None:
        """Add a seed without a number. Its cell cannot be compared, so its other seeds are not needed."""
        with self._lock:
            self._failed.setdefault(key, seed)

    def reason_to_skip(self, key: CellKey, seed: int) -> str:
        """Return why a seed of a cell is not needed; empty if it is."""
        with self._lock:
            last = last_looks(self._looks.get(key, ())).get(key)
            if last is not None and last.is_last and seed not in last.seeds:
                after = f"after {len(last.seeds)} of {len(self._seeds)} seeds"
                if last.is_hopeless:
                    return f"undecided {after}, and all {len(self._seeds)} would hardly decide it"
                return f"decided {after}: {last.verdict}"
            failed = self._failed.get(key)
            if key in self._before and failed not in (None, seed):
                return f"not needed: seed {failed} has no number, so the cell cannot be compared"
            return ""

    def needed(self, key: CellKey) -> tuple[int, ...]:
        """Return the seeds up to the next look at a cell that have no record yet; all seeds if there is no look."""
        with self._lock:
            records = self._records.get(key, {})
            if key in self._before:
                taken = len(self._looks.get(key, ()))
                up_to = self._plan[min(taken, len(self._plan) - 1)].seeds
            else:
                up_to = len(self._seeds)
            wanted = (seed for seed in self._seeds[:up_to] if seed not in records)
            return tuple(seed for seed in wanted if not self.reason_to_skip(key, seed))

    def _due(self, key: CellKey) -> Look | None:
        """Return the next look at a cell if all its seeds have a record and no earlier look was the last one."""
        looks, records = self._looks.get(key, []), self._records[key]
        if len(looks) == len(self._plan) or (looks and looks[-1].is_last):
            return None
        count, share = self._plan[len(looks)]
        seeds = self._seeds[:count]
        if not all(seed in records for seed in seeds):
            return None
        look = Look(*key, seeds, share * self._limits.alpha, "undecided", self._question(key))
        before, after = list(self._before[key].values()), [records[seed] for seed in seeds]
        pairs = tuple(f"{old}={new}" for old, new in zip(self._earlier[key], key, strict=True) if old != new)
        declared = replace(self._declared, pairs=pairs)
        return taken_look(look, before, after, self._plan, self._limits, declared)

    def _question(self, key: CellKey) -> str:
        answers = [(seed, *_answers(record)) for seed, record in self._before[key].items()]
        return short_digest(repr((self._limits.tolerance, self._limits.alpha, self._declared, answers)))


def _answers(record: Record) -> tuple[str, Sequence[int], Sequence[float]]:
    return record.dataset.digest, tuple(record.predictions), tuple(record.probabilities)


def taken_look(
    look: Look,
    before: Sequence[Record],
    after: Sequence[Record],
    plan: Sequence[PlannedLook],
    limits: Limits,
    declared: Declared = NOTHING_DECLARED,
) -> Look:
    """Return a look at one cell with its verdict; ``undecided`` if the cell cannot be compared without an error.

    Args:
        look: The look; its verdict is ignored.
        before: The earlier records of the cell.
        after: The later records of the cell, of the seeds of the look.
        plan: All looks at the cell.
        limits: What the verdict is held against.
        declared: What changed on purpose in this cell.
    """
    try:
        return _taken_look(look, before, after, plan, limits, declared)
    except Exception:  # reported when the whole run is compared; until then every seed is measured
        return replace(look, verdict="undecided")


def _taken_look(
    look: Look,
    before: Sequence[Record],
    after: Sequence[Record],
    plan: Sequence[PlannedLook],
    limits: Limits,
    declared: Declared,
) -> Look:
    later = Results(after, (), looks=(look,))
    tolerance, alpha, correction = limits.tolerance, limits.alpha, limits.correction(after[0])
    (cell,) = compare(Results(before, ()), later, tolerance=tolerance, alpha=alpha, declared=declared).cells
    is_certain = bool(cell.failed_seeds) or (cell.adjusted_p or 0.0) * correction <= alpha
    verdict = "undecided" if cell.verdict == "regressed" and not is_certain else cell.verdict
    last = plan[-1]
    if verdict != "undecided" or len(look.seeds) == last.seeds:
        return replace(look, verdict=verdict)
    pairing = pair_records(*({record.seed: record for record in side} for side in (before, after)))
    of_last = {"tolerance": cell.tolerance, "alpha": last.share * alpha}
    return replace(look, verdict=verdict, is_hopeless=is_hopeless(pairing, last.seeds, **of_last, cells=correction))
