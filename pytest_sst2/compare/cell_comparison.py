"""Compare one cell before and after: its accuracy, causes, time and memory.

Its verdict stays ``undecided`` until ``cell_verdicts`` has corrected the p-values for the number of cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.compare.changed_on_purpose import causes, declared_change, other_work, reasons
from pytest_sst2.compare.drift.evidence import Cause, over_seeds
from pytest_sst2.compare.pairing import CellKey, Pairing, same_answers
from pytest_sst2.compare.several_seeds import compare_pairing
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.single_seeds import FailedSeed, failed_seeds
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange, compare_speed_and_memory
from pytest_sst2.compare.training_spread import shared_encoder
from pytest_sst2.compare.verdict import Verdict
from pytest_sst2.config.declared import Declared
from pytest_sst2.config.options import TOLERANCE
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.looks import Look
from pytest_sst2.results.record import Failure, Record


@dataclass(frozen=True)
class CellComparison:
    """One cell, with one or several seeds, before and after.

    Attributes:
        reasons: Why the cell is incomparable; empty if it is comparable.
        adjusted_p: The one-sided p-value in the direction of the change, corrected for the number of cells.
        tolerance: The drop in accuracy (a positive fraction) that this cell may have.
        causes: What differs in the chain from rows to predictions.
        failed_seeds: Later seeds that a rule of ``single_seeds`` finds. They fail the cell, whatever the mean is.
        would_decide: What would decide an undecided cell, with minutes; empty if it is decided.
        notes: Limits of the verdict, one sentence each.
        earlier: Model and method of the earlier cell, if they are declared to have another name; else None.
        shared_encoder: The model whose frozen encoder the cell shares with other probes; empty if it shares none.
    """

    model: str | None
    method: str
    seeds: tuple[int, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    accuracy: AccuracyChange | None = None
    adjusted_p: float | None = None
    tolerance: float = TOLERANCE
    causes: tuple[Cause, ...] = ()
    speed_and_memory: SpeedAndMemoryChange | None = None
    failed_seeds: tuple[FailedSeed, ...] = ()
    would_decide: str = ""
    notes: tuple[str, ...] = ()
    earlier: CellKey | None = None
    shared_encoder: str = ""

    @property
    def name(self) -> str:
        """``minilm × linear-probe``."""
        return cell_name((self.model, self.method))

    @property
    def flags(self) -> frozenset[str]:
        """The words of ``--sst2-fail-on`` that apply: regressed, undecided, slower, and so on."""
        resources = self.speed_and_memory
        applies = {
            "regressed": self.verdict == "regressed",
            "undecided": self.verdict == "undecided",
            "incomparable": self.verdict == "incomparable",
            "drifted": not all(cause.is_note for cause in self.causes),
            "slower": resources is not None and resources.slower,
            "more-memory": resources is not None and resources.more_memory,
        }
        return frozenset(flag for flag, holds in applies.items() if holds)


def failed_cell(key: CellKey, failure: Failure) -> CellComparison:
    """Return the comparison of a cell whose later run failed."""
    return CellComparison(*key, (failure.seed,), "incomparable", (f"no number this time: {failure.error}",))


def compare_cell(
    key: CellKey,
    pairing: Pairing,
    tolerance: float,
    alpha: float,
    declared: Declared,
    look: Look | None,
    time_tolerance: float = SPEED_TOLERANCE,
) -> CellComparison:
    """Compare one cell; its verdict stays ``undecided`` until the correction for the number of cells."""
    seeds = tuple(record.seed for record in pairing.after)
    pairs = pairing.pairs
    problems = tuple(dict.fromkeys((*reasons(pairing, declared), *row_count_problems(pairing))))
    if problems:
        return CellComparison(*key, seeds, "incomparable", problems)
    seeded = seed_dependent_settings(pairing.before) | seed_dependent_settings(pairing.after)
    change = declared_change(*pairs[0], declared)
    of_cell = over_seeds({new.seed: causes(old, new, change, seeded) for old, new in pairs})
    level = look.alpha if look else alpha
    accuracy = compare_pairing(pairing, level)
    failed, notes = failed_seeds(pairing, level)
    source = f"the bounds use {accuracy.variance_source}" if accuracy.variance_source else ""
    return CellComparison(
        *key,
        seeds,
        "identical" if all(cause.is_note for cause in of_cell) and same_answers(pairing) else "undecided",
        accuracy=_corrected(accuracy, alpha / level),
        tolerance=_tolerance(pairing, tolerance),
        causes=of_cell,
        speed_and_memory=compare_speed_and_memory(
            pairing.before,
            pairing.after,
            time_tolerance=time_tolerance,
            other_work=other_work(*pairs[0]) if change else "",
        ),
        failed_seeds=failed,
        # A cell that stopped early lacks later seeds on purpose.
        notes=tuple(filter(None, ("" if look else pairing.note, source, *notes))),
        earlier=pairing.earlier_key(key),
        shared_encoder=shared_encoder(pairing.after[0]),
    )


def _corrected(change: AccuracyChange, factor: float) -> AccuracyChange:
    """Return a change with p-values multiplied by ``factor``, so that one look can be tested at the whole of alpha."""
    values = {name: min(1.0, factor * getattr(change, name)) for name in ("p_worse", "p_better", "least_p")}
    return replace(change, **values)


def _tolerance(pairing: Pairing, of_run: float) -> float:
    """Return the tolerance of the cell's floor, of the later run first; without one, that of the run."""
    floors = (record.floor for record in (*pairing.after, *pairing.before))
    return next((floor.tolerance for floor in floors if floor and floor.tolerance is not None), of_run)


def row_count_problems(pairing: Pairing) -> Iterator[str]:
    """Yield why several seeds cannot be compared: different numbers of evaluation rows, or a single row."""
    totals = sorted({record.total for record in (*pairing.before, *pairing.after)})
    if len(pairing.after) > 1 and len(totals) > 1:
        yield f"its seeds were evaluated on different numbers of rows: {', '.join(map(str, totals))}"
    elif len(pairing.after) > 1 and totals == [1]:
        yield "one evaluation row: several seeds cannot be compared on it"


def seed_dependent_settings(records: Sequence[Record]) -> frozenset[str]:
    """Return the settings that differ between the seeds of one run: the seed, or a vocabulary size from its rows."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.settings.items():
            values.setdefault(name, []).append(value)
    return frozenset(name for name, of_seeds in values.items() if any(value != of_seeds[0] for value in of_seeds))
