"""Comparison: two files of Records in, a verdict for every cell out, with the statistics and the causes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pytest_sst2.compare.drift.causes import different_fields, drift_causes
from pytest_sst2.compare.pairing import CellKey, Pairing, by_cell, cell_name, pairing_of
from pytest_sst2.compare.significance import (
    AccuracyChange,
    compare_one_seed,
    compare_seeds,
    detectable_drop,
    direction,
    holm,
)
from pytest_sst2.compare.speed_and_memory import CostChange, compare_costs
from pytest_sst2.results.environment_diff import EnvironmentChange, environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record

Verdict = Literal["improved", "unchanged", "regressed", "incomparable"]

HOLDS, FAILS, CANNOT_COMPARE = 0, 1, 2

# Paired predictions tell two classifiers apart; that two trainings would differ as much by chance they cannot tell.
_ONE_TRAINING = (
    "one seed: this is about two trained classifiers; trainings also differ by chance, which five seeds would show "
    "(--sst2-seeds 1,2,3,4,5)",
)


@dataclass(frozen=True)
class CellComparison:
    """One cell, of one or several seeds, before and after.

    Attributes:
        model: The model's name, None for methods without one.
        method: The method's name.
        seeds: The seeds compared.
        verdict: On the accuracy.
        reasons: Why the cell is incomparable; empty if it is not.
        accuracy: The paired statistics; None for an incomparable cell.
        adjusted_p: The p-value after Holm's correction over all cells of the comparison.
        detectable: The smallest drop (a positive share) that would have been called regressed; None if none would.
        causes: What differs in the chain from rows to predictions.
        costs: Time and memory; None for an incomparable cell.
        one_training: Whether a single training in steps stands on either side.
        notes: What limits the verdict, in words.
    """

    model: str | None
    method: str
    seeds: tuple[int, ...]
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    accuracy: AccuracyChange | None = None
    adjusted_p: float | None = None
    detectable: float | None = None
    causes: tuple[str, ...] = ()
    costs: CostChange | None = None
    one_training: bool = False
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``minilm × linear-probe``."""
        return cell_name((self.model, self.method))

    @property
    def flags(self) -> frozenset[str]:
        """What ``--sst2-fail-on`` can ask for of a cell: regressed, slower, more-memory, drifted, incomparable."""
        found = {
            "regressed": self.verdict == "regressed",
            "incomparable": self.verdict == "incomparable",
            "drifted": bool(self.causes),
            "slower": self.costs is not None and self.costs.slower,
            "more-memory": self.costs is not None and self.costs.heavier,
        }
        return frozenset(name for name, holds in found.items() if holds)


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison found.

    Attributes:
        before: The name of the earlier results.
        after: The name of the later ones.
        saved: When the earlier ones were saved; empty where their file does not say.
        tolerance: The drop in accuracy that is accepted.
        alpha: The level of significance.
        cells: In the order of the later results.
        environment: What differs between the two, and only that.
        only_before: Cells of the earlier results that were not measured again.
        only_after: Cells that have nothing to be compared with.
        seeds_only_before: By the name of a cell that was compared, those of its earlier seeds that were not measured
            again, although others were; none where seeds are compared as draws.
    """

    before: str
    after: str
    saved: str
    tolerance: float
    alpha: float
    cells: tuple[CellComparison, ...]
    environment: tuple[EnvironmentChange, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    seeds_only_before: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def flagged(self, flag: str) -> tuple[CellComparison, ...]:
        """Return the cells with a flag."""
        return tuple(cell for cell in self.cells if flag in cell.flags)

    def exit_status(self, fail_on: Collection[str]) -> int:
        """Return 0 where everything holds, 1 where something that ``fail_on`` names was found, 2 where cells differ.

        A failure that is sure goes before a cell that could not be compared. No cell in common is never a success.
        """
        if not self.cells:
            return CANNOT_COMPARE
        if any(self.flagged(flag) for flag in fail_on if flag != "incomparable"):
            return FAILS
        if "missing" in fail_on and (self.only_before or self.seeds_only_before):
            return FAILS
        if "incomparable" in fail_on and self.flagged("incomparable"):
            return CANNOT_COMPARE
        return HOLDS


def compare(before: Results, after: Results, *, tolerance: float, alpha: float) -> Comparison:
    """Return the comparison of two results.

    Cells are paired by model, method and seed. Seeds that both sides have are paired; where they have none in common
    but several each, seeds are taken as draws. One seed against another is incomparable: a seed draws its own rows.

    Args:
        before: The baseline.
        after: What was measured now.
        tolerance: The drop in accuracy (a share) that is accepted.
        alpha: The level of significance, after Holm's correction.
    """
    old, new = by_cell(before.records), by_cell(after.records)
    lost = {(failure.model, failure.method): failure for failure in after.failures}
    shared = [key for key in dict.fromkeys((*new, *lost)) if key in old]
    cells = [
        _lost_cell(key, lost[key]) if key in lost else _compared_cell(key, pairing_of(old[key], new[key]))
        for key in shared
    ]
    return Comparison(
        before=before.origin,
        after=after.origin,
        saved=before.saved,
        tolerance=tolerance,
        alpha=alpha,
        cells=tuple(_decided(cells, tolerance, alpha)),
        environment=environment_changes(before.records[0].environment, after.records[0].environment)
        if before.records and after.records
        else (),
        only_before=tuple(cell_name(key) for key in old if key not in shared),
        only_after=tuple(cell_name(key) for key in new if key not in shared),
        seeds_only_before={
            cell_name(key): seeds for key in shared if key not in lost and (seeds := _left_out(old[key], new[key]))
        },
    )


def _left_out(old: Mapping[int, Record], new: Mapping[int, Record]) -> tuple[int, ...]:
    """Return the seeds of one side that the other lacks, where they have any in common."""
    return tuple(seed for seed in old if seed not in new) if old.keys() & new.keys() else ()


def _lost_cell(key: CellKey, failure: Failure) -> CellComparison:
    return CellComparison(*key, (failure.seed,), "incomparable", (f"no number this time: {failure.error}",))


def _compared_cell(key: CellKey, pairing: Pairing) -> CellComparison:
    """Compare one cell up to its verdict, which waits for Holm's correction."""
    seeds = tuple(record.seed for record in pairing.after)
    pairs = pairing.pairs
    reasons = dict.fromkeys(
        reason for old, new in pairs for reason in different_fields(old, new, same_seeds=pairing.paired)
    )
    reasons |= dict.fromkeys(_unfit_sizes(pairing))
    if reasons:
        return CellComparison(*key, seeds, "incomparable", tuple(reasons))
    seeded = _settings_of_seeds(pairing.before) | _settings_of_seeds(pairing.after)
    causes = dict.fromkeys(cause for old, new in pairs for cause in drift_causes(old, new, seeded=seeded))
    return CellComparison(
        *key,
        seeds,
        "unchanged",
        accuracy=_accuracy_change(pairing),
        causes=tuple(causes),
        costs=compare_costs(pairing.before, pairing.after),
        one_training=len(pairing.before) == len(pairing.after) == 1 and _is_trained_in_steps(pairing.after[0]),
    )


def _unfit_sizes(pairing: Pairing) -> Iterator[str]:
    """Yield what keeps several seeds from being compared: each is to answer as many sentences, and more than one."""
    sizes = sorted({record.total for record in (*pairing.before, *pairing.after)})
    if len(pairing.after) > 1 and len(sizes) > 1:
        yield f"its seeds were evaluated on different numbers of rows: {', '.join(map(str, sizes))}"
    elif len(pairing.after) > 1 and sizes == [1]:
        yield "one evaluation row: several seeds cannot be compared on it"


def _settings_of_seeds(records: Sequence[Record]) -> frozenset[str]:
    """Return the settings in which the seeds of one run differ: the seed itself, a vocabulary found in its rows."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.settings.items():
            values.setdefault(name, []).append(value)
    return frozenset(name for name, each in values.items() if any(value != each[0] for value in each))


def _is_trained_in_steps(record: Record) -> bool:
    course = record.fingerprint.training if record.fingerprint else None
    return course is not None and course.first_loss is not None


def _accuracy_change(pairing: Pairing) -> AccuracyChange:
    before, after = pairing.right()
    if len(before) == len(after) == 1:
        return compare_one_seed(before[0], after[0])
    return compare_seeds(before, after, paired=pairing.paired, same_examples=pairing.same_examples)


def _decided(cells: Sequence[CellComparison], tolerance: float, alpha: float) -> list[CellComparison]:
    """Return the cells with their verdicts, after Holm's correction over those with a p-value."""
    changes = [cell.accuracy for cell in cells if cell.accuracy is not None]
    adjusted = iter(holm([change.p_value for change in changes]))
    decided = []
    for cell in cells:
        if cell.accuracy is not None:
            p = next(adjusted)
            verdict = direction(cell.accuracy.delta, p, alpha=alpha, tolerance=tolerance)
            # Holm asks alpha / m of the smallest p-value: the strictest that this cell could have met.
            drop = detectable_drop(cell.accuracy, alpha / len(changes), tolerance)
            notes = _ONE_TRAINING if verdict != "unchanged" and cell.one_training else ()
            cell = replace(cell, verdict=verdict, adjusted_p=p, detectable=drop, notes=notes)
        decided.append(cell)
    return decided
