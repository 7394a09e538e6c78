"""Compare two results: pair their cells, decide a verdict for each, and report statistics and causes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_sst2.compare.changed_on_purpose import causes, declared_change, other_work, pair_cells, reasons, undeclared
from pytest_sst2.compare.drift.evidence import Cause, ranked
from pytest_sst2.compare.family import CellTest, adjusted_p_values
from pytest_sst2.compare.pairing import CellKey, Pairing, by_cell, cell_name, pair_records, same_answers
from pytest_sst2.compare.several_seeds import compare_pairing
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.single_seeds import FailedSeed, failed_seeds
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange, compare_speed_and_memory
from pytest_sst2.compare.training_spread import shared_encoder
from pytest_sst2.compare.verdict import Verdict, verdict_of
from pytest_sst2.compare.would_decide import would_decide
from pytest_sst2.config.declared import NOTHING_DECLARED, Declared
from pytest_sst2.config.options import TOLERANCE
from pytest_sst2.results.commit import commits_label
from pytest_sst2.results.environment_diff import EnvironmentChange, environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.looks import Look, last_looks
from pytest_sst2.results.record import Failure, Record

HOLDS, FAILS, CANNOT_COMPARE = 0, 1, 2


@dataclass(frozen=True)
class CellComparison:
    """One cell, with one or several seeds, before and after.

    Attributes:
        reasons: Why the cell is incomparable; empty if it is comparable.
        adjusted_p: The one-sided p-value in the direction of the change, corrected for the number of cells.
        tolerance: The drop in accuracy (a positive fraction) that this cell may have.
        causes: What differs in the chain from rows to predictions.
        failed_seeds: Later seeds that fell far below the others. They fail the cell, whatever the mean is.
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


@dataclass(frozen=True)
class Comparison:
    """Two results, compared.

    Attributes:
        saved: When the earlier results were saved; empty if their file has no date.
        cells: In the order of the later results.
        only_before: Cells of the earlier results that were not measured again.
        only_after: Cells that the earlier results lack.
        seeds_only_before: From the name of a compared cell to its earlier seeds that were not measured again. Empty
            for cells whose seeds are compared as independent draws.
        to_declare: What to type to compare the cells that differ in what was not declared; empty if there are none.
        notes: Where the earlier results were read from, and the commits of both sides.
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
    to_declare: str = ""
    notes: tuple[str, ...] = ()

    def flagged(self, flag: str) -> tuple[CellComparison, ...]:
        """Return the cells with a flag."""
        return tuple(cell for cell in self.cells if flag in cell.flags)

    def exit_status(self, fail_on: Collection[str]) -> int:
        """Return 0 if everything holds, 1 if anything in ``fail_on`` occurred, 2 if cells could not be compared.

        A certain failure takes precedence over a cell that could not be compared. Without a common cell the status
        is 2.
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


def compare(
    before: Results, after: Results, *, tolerance: float, alpha: float, declared: Declared = NOTHING_DECLARED
) -> Comparison:
    """Compare two results.

    Cells are paired by model and method, and their records by seed. If the two sides have no seed in common but
    several seeds each, the seeds are compared as independent draws. One seed against another is incomparable, because
    the seed also draws the rows. ``tolerance`` is the drop in accuracy (a fraction) that is accepted, ``alpha`` the
    level of significance after Holm's correction. ``declared`` is what changed on purpose.

    A cell of a run with ``--sst2-seeds auto`` is compared as at its last look: with its seeds and its alpha.

    Raises:
        Sst2Error: A declared pair names a model or method that a side lacks.
    """
    looks = last_looks(after.looks)
    old, new = by_cell(before.records), _at_look(by_cell(after.records), looks)
    failed = {(failure.model, failure.method): failure for failure in after.failures}
    paired = pair_cells(old, dict.fromkeys((*new, *failed)), declared)
    pairings = {key: pair_records(old[earlier], new[key]) for key, earlier in paired.items() if key not in failed}
    cells = [
        _compare_cell(key, pairings[key], tolerance, alpha, declared, looks.get(key))
        if key in pairings
        else _failed_cell(key, failed[key])
        for key in paired
    ]
    return Comparison(
        before=before.origin,
        after=after.origin,
        saved=before.saved,
        tolerance=tolerance,
        alpha=alpha,
        cells=tuple(_with_advice(cell, pairings, cells, alpha) for cell in _with_verdicts(cells, alpha)),
        environment=environment_changes(before.records[0].environment, after.records[0].environment)
        if before.records and after.records
        else (),
        only_before=tuple(cell_name(key) for key in old if key not in paired.values()),
        only_after=tuple(cell_name(key) for key in new if key not in paired),
        seeds_only_before={
            cell_name(key): seeds
            for key, earlier in paired.items()
            if key not in failed and key not in looks and (seeds := _missing_seeds(old[earlier], new[key]))
        },
        to_declare=undeclared(old, new, {key: paired[key] for key in paired if key not in failed}, declared),
        notes=(*before.notes, *_commits(before, after)),
    )


def _commits(before: Results, after: Results) -> Iterator[str]:
    """Yield a sentence with the commits of both sides, if one is known."""
    old, new = (commits_label(record.commit for record in side.records) for side in (before, after))
    if old or new:
        yield f"commit {new or 'unknown'}, was {old or 'unknown'}" if old != new else f"both at commit {new}"


def _at_look(
    new: Mapping[CellKey, dict[int, Record]], looks: Mapping[CellKey, Look]
) -> dict[CellKey, dict[int, Record]]:
    """Return the records of each cell that its last look had; all records of a cell without a look."""
    kept = dict(new)
    for key, look in looks.items():
        if of_look := {seed: new[key][seed] for seed in look.seeds if seed in new.get(key, {})}:
            kept[key] = of_look
    return kept


def _missing_seeds(old: Mapping[int, Record], new: Mapping[int, Record]) -> tuple[int, ...]:
    """Return the seeds of ``old`` that ``new`` lacks; none if they have no seed in common."""
    return tuple(seed for seed in old if seed not in new) if old.keys() & new.keys() else ()


def _failed_cell(key: CellKey, failure: Failure) -> CellComparison:
    return CellComparison(*key, (failure.seed,), "incomparable", (f"no number this time: {failure.error}",))


def _compare_cell(
    key: CellKey, pairing: Pairing, tolerance: float, alpha: float, declared: Declared, look: Look | None
) -> CellComparison:
    """Compare one cell; its verdict stays ``undecided`` until the correction for the number of cells."""
    seeds = tuple(record.seed for record in pairing.after)
    pairs = pairing.pairs
    problems = tuple(dict.fromkeys((*reasons(pairing, declared), *_row_count_problems(pairing))))
    if problems:
        return CellComparison(*key, seeds, "incomparable", problems)
    seeded = _seed_dependent_settings(pairing.before) | _seed_dependent_settings(pairing.after)
    change = declared_change(*pairs[0], declared)
    of_cell = ranked(cause for old, new in pairs for cause in causes(old, new, change, seeded))
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
            pairing.before, pairing.after, other_work=other_work(*pairs[0]) if change else ""
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


def _row_count_problems(pairing: Pairing) -> Iterator[str]:
    """Yield why several seeds cannot be compared: different numbers of evaluation rows, or a single row."""
    totals = sorted({record.total for record in (*pairing.before, *pairing.after)})
    if len(pairing.after) > 1 and len(totals) > 1:
        yield f"its seeds were evaluated on different numbers of rows: {', '.join(map(str, totals))}"
    elif len(pairing.after) > 1 and totals == [1]:
        yield "one evaluation row: several seeds cannot be compared on it"


def _seed_dependent_settings(records: Sequence[Record]) -> frozenset[str]:
    """Return the settings that differ between the seeds of one run: the seed, or a vocabulary size from its rows."""
    values: dict[str, list[Any]] = {}
    for record in records:
        for name, value in record.settings.items():
            values.setdefault(name, []).append(value)
    return frozenset(name for name, of_seeds in values.items() if any(value != of_seeds[0] for value in of_seeds))


def _with_verdicts(cells: Sequence[CellComparison], alpha: float) -> list[CellComparison]:
    """Return the cells with their verdicts, after the correction for the number of cells."""
    compared = [(cell, cell.accuracy) for cell in cells if cell.accuracy is not None]
    worse, better = (
        iter(adjusted_p_values([_test(cell, change, p) for (cell, change), p in zip(compared, of, strict=True)], alpha))
        for of in (
            [change.p_worse for _, change in compared],
            [change.p_better for _, change in compared],
        )
    )
    return [
        cell if cell.accuracy is None else _with_verdict(cell, cell.accuracy, next(worse), next(better), alpha)
        for cell in cells
    ]


def _with_advice(
    cell: CellComparison, pairings: Mapping[CellKey, Pairing], cells: Sequence[CellComparison], alpha: float
) -> CellComparison:
    """Return an undecided cell with what would decide it, any other cell as it is."""
    if cell.verdict != "undecided" or cell.accuracy is None:
        return cell
    pairing, compared = pairings[cell.model, cell.method], sum(other.accuracy is not None for other in cells)
    advice = would_decide(pairing, cell.accuracy, tolerance=cell.tolerance, alpha=alpha, cells=compared)
    return replace(cell, would_decide=advice)


def _test(cell: CellComparison, change: AccuracyChange, p: float) -> CellTest:
    """Return a cell's test for the correction; a cell with too few flips to exceed its tolerance cannot be rejected."""
    least_p = 1.0 if change.discordance <= cell.tolerance and change.least_p else change.least_p
    return CellTest(p, least_p, (cell.shared_encoder,) if cell.shared_encoder else (cell.model, cell.method))


def _with_verdict(
    cell: CellComparison, change: AccuracyChange, p_worse: float, p_better: float, alpha: float
) -> CellComparison:
    adjusted_p = p_worse if change.delta < 0 else p_better
    if cell.failed_seeds:
        return replace(cell, verdict="regressed", adjusted_p=adjusted_p)
    verdict = verdict_of(
        change,
        p_worse,
        p_better,
        alpha=alpha,
        tolerance=cell.tolerance,
        is_identical=cell.verdict == "identical",
    )
    return replace(cell, verdict=verdict, adjusted_p=adjusted_p)
