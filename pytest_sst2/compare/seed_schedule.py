"""``--sst2-seeds auto``: which seeds of each cell are needed, by the looks of ``stopping_rule``."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_sst2.compare.changed_on_purpose import pair_cells
from pytest_sst2.compare.pairing import CellKey, by_cell
from pytest_sst2.compare.stopping_rule import Limits, groups_of, planned_looks, taken_look
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look, last_looks, spent
from pytest_sst2.results.record import Record
from pytest_sst2.utils.hashing import short_digest


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
        """Add a seed without a number. Its cell cannot be compared, so its other seeds are not needed.

        A seed that has a record keeps it: a second test of it may fail, or its worker may die after it sent the record.
        """
        with self._lock:
            if seed not in self._records.get(key, {}):
                self._failed.setdefault(key, seed)

    def reason_to_skip(self, key: CellKey, seed: int) -> str:
        """Return why a seed of a cell is not needed; empty if it is."""
        with self._lock:
            if decided := self.decision(key, seed):
                return decided
            failed = self._failed.get(key)
            if key in self._before and failed not in (None, seed):
                return f"not needed: seed {failed} has no number, so the cell cannot be compared"
            return ""

    def decision(self, key: CellKey, seed: int) -> str:
        """Return how seeds before this one decided a cell; empty if they did not."""
        with self._lock:
            last = last_looks(self._looks.get(key, ())).get(key)
            if last is None or not last.is_last or seed in last.seeds:
                return ""
            after = f"after {len(last.seeds)} of {len(self._seeds)} seeds"
            if last.is_hopeless:
                return f"undecided {after}, and all {len(self._seeds)} would hardly decide it"
            return f"decided {after}: {last.verdict}"

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
