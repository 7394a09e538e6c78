"""Compare cells of one run with one another: is the other model better, is frozen worse than fine-tuned?

A pair is judged as a cell before and after is: by the same bounds, tests and correction, on the same sentences. Three
things differ. Seeds that draw other training rows are random for every method from three seeds on, because the question
is about the methods and not about these rows. A collapsed seed is a note, because the run failed nothing. Times are not
compared, because different cells do different work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pytest_sst2.compare.cell_comparison import CellComparison, row_count_problems, seed_dependent_settings
from pytest_sst2.compare.cell_verdicts import compared_cells, with_advice, with_verdicts
from pytest_sst2.compare.changed_on_purpose import causes, declared_change, reasons
from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, HOLDS
from pytest_sst2.compare.drift.evidence import Cause, over_seeds
from pytest_sst2.compare.pairing import CellKey, Pairing, by_cell, pair_records, same_answers
from pytest_sst2.compare.several_seeds import compare_pairing
from pytest_sst2.compare.single_seeds import low_seed_sentences
from pytest_sst2.compare.training_spread import MINIMUM_SEEDS, shared_encoder
from pytest_sst2.config.against import cell_names, split_question
from pytest_sst2.config.declared import NOTHING_DECLARED
from pytest_sst2.config.specs import cell_name
from pytest_sst2.results.file import Results
from pytest_sst2.results.fingerprint import Fingerprint
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.errors import Sst2Error

_MODEL, _METHOD = 0, 1


@dataclass(frozen=True)
class WithinRun:
    """Pairs of cells of one run, compared.

    Attributes:
        origin: The name of the results.
        questions: What was asked, as typed.
        cells: One per pair: the cell, with the one that it is compared with as ``earlier``.
        notes: Questions that no pair of cells answers.
    """

    origin: str
    questions: tuple[str, ...]
    tolerance: float
    alpha: float
    cells: tuple[CellComparison, ...]
    notes: tuple[str, ...] = ()

    def flagged(self, flags: Collection[str]) -> tuple[CellComparison, ...]:
        """Return the pairs with one of the flags."""
        return tuple(cell for cell in self.cells if cell.flags & set(flags))

    def exit_status(self, fail_on: Collection[str]) -> int:
        """Return 1 if a pair has a flag of ``fail_on``, 2 if no pair could be compared, else 0."""
        if self.flagged(fail_on):
            return FAILS
        return HOLDS if compared_cells(self.cells) else CANNOT_COMPARE


def compare_within(
    results: Results, questions: Sequence[str], *, tolerance: float, alpha: float, option: str, strict: bool = True
) -> WithinRun:
    """Compare cells of one run with one another.

    Args:
        results: The run.
        questions: ``NAME`` compares every other cell with a model (those of the same method), a method (those of the
            same model) or a cell (all). ``A=B`` compares B with A.
        tolerance: The accuracy, a fraction, that the other cell may be worse.
        alpha: The level of significance of the whole comparison.
        option: The option that asked, for messages.
        strict: Whether an unknown name is an error; else a note.

    Raises:
        Sst2Error: With ``strict``, a name is unknown.
    """
    measured = by_cell(results.records)
    failed = {(failure.model, failure.method): failure for failure in results.failures}
    keys = list(dict.fromkeys((*measured, *failed)))
    pairs, notes = _asked_pairs(questions, keys, option, strict=strict)
    pairings = {pair: _pairing(*(measured[key] for key in pair)) for pair in pairs if not failed.keys() & {*pair}}
    cells = [
        _compare_pair(*pair, pairings[pair], tolerance, alpha) if pair in pairings else _failed_pair(*pair, failed)
        for pair in pairs
    ]
    number = compared_cells(cells)
    return WithinRun(
        origin=results.origin,
        questions=tuple(questions),
        tolerance=tolerance,
        alpha=alpha,
        cells=tuple(
            with_advice(cell, pairings.get(pair), number, alpha, both=True)
            for pair, cell in zip(pairs, with_verdicts(cells, alpha), strict=True)
        ),
        notes=tuple(notes),
    )


def _asked_pairs(
    questions: Sequence[str], keys: Sequence[CellKey], option: str, *, strict: bool
) -> tuple[list[tuple[CellKey, CellKey]], list[str]]:
    """Return the distinct pairs of all questions, and a note for each question without one; raise as above."""
    pairs: dict[tuple[CellKey, CellKey], None] = {}
    notes = []
    for question in questions:
        try:
            found = [pair for pair in _pairs(question, keys, option) if pair[::-1] not in pairs]
        except Sst2Error as error:
            if strict:
                raise
            notes.append(str(error))
            continue
        pairs |= dict.fromkeys(found)
        if not found:
            notes.append(f"{option} {question}: the results have no two cells that answer it")
    return list(pairs), notes


class _Named(NamedTuple):
    """The cells that a name stands for, and the parts of a cell that it names."""

    keys: list[CellKey]
    parts: frozenset[int]


def _named(name: str, keys: Sequence[CellKey]) -> _Named:
    """Return the cells of a known name; a method without a model is a cell."""
    models = [key for key in keys if key[_MODEL] == name]
    methods = [key for key in keys if key[_METHOD] == name and key[_MODEL] is not None]
    if models or methods:
        return _Named(models or methods, frozenset({_MODEL if models else _METHOD}))
    return _Named([key for key in keys if cell_name(key) == name], frozenset({_MODEL, _METHOD}))


def _pairs(question: str, keys: Sequence[CellKey], option: str) -> Iterator[tuple[CellKey, CellKey]]:
    """Yield the pairs of a question, the cell to compare with first. What it does not name is the same on both sides.

    A cell without a model is compared with those of every model, if the question names it.
    """
    first, second = split_question(question, cell_names(keys), f"{option} {question}: the results have")
    one = _named(first, keys)
    if second:
        other = _named(second, keys)
    elif len(one.parts) > 1:
        other = _Named([key for key in keys if key not in one.keys], one.parts)
    else:
        other = _Named([key for key in keys if key[_MODEL] is not None and key not in one.keys], one.parts)
    same = {_MODEL, _METHOD} - (one.parts & other.parts)
    for before in one.keys:
        for after in other.keys:
            is_comparable = None in (before[_MODEL], after[_MODEL]) or all(before[part] == after[part] for part in same)
            if before != after and is_comparable:
                yield before, after


def _pairing(before: Mapping[int, Record], after: Mapping[int, Record]) -> Pairing:
    pairing = pair_records(_for_seeds_of(before, after), _for_seeds_of(after, before))
    rows = {record.fingerprint.train.sentences for record in pairing.after if record.fingerprint is not None}
    return replace(pairing, is_of_draws=len(pairing.after) >= MINIMUM_SEEDS and len(rows) > 1)


def _for_seeds_of(side: Mapping[int, Record], other: Mapping[int, Record]) -> Mapping[int, Record]:
    """Return the one record of a classifier that trains nothing under each seed of the other side.

    No seed decides it, so it would have answered the same. Held-out sentences depend on the seed, so there its own
    record stays alone.
    """
    (record, *rest) = side.values()
    if rest or record.settings.get("trained", True) or record.dataset.split != "validation":
        return side
    return {
        seed: replace(record, seed=seed, fingerprint=_with_rows_of(record.fingerprint, of_seed.fingerprint))
        for seed, of_seed in other.items()
    }


def _with_rows_of(own: Fingerprint | None, other: Fingerprint | None) -> Fingerprint | None:
    return replace(own, train=other.train, overlap=other.overlap) if own and other else own


def _failed_pair(before: CellKey, after: CellKey, failed: Mapping[CellKey, Failure]) -> CellComparison:
    failure = next(failed[key] for key in (after, before) if key in failed)
    reason = f"no number for seed {failure.seed} of {cell_name((failure.model, failure.method))}: {failure.error}"
    return CellComparison(*after, (failure.seed,), "incomparable", (reason,), earlier=before)


def _compare_pair(before: CellKey, after: CellKey, pairing: Pairing, tolerance: float, alpha: float) -> CellComparison:
    """Compare one pair; its verdict stays ``undecided`` until the correction for the number of pairs."""
    seeds = tuple(record.seed for record in pairing.after)
    problems = tuple(dict.fromkeys((*reasons(pairing, NOTHING_DECLARED), *row_count_problems(pairing))))
    if problems:
        return CellComparison(*after, seeds, "incomparable", problems, earlier=before)
    accuracy = compare_pairing(pairing, alpha)
    of_pair = _causes(pairing)
    source = f"the bounds use {accuracy.variance_source}" if accuracy.variance_source else ""
    return CellComparison(
        *after,
        seeds,
        "identical" if all(cause.is_note for cause in of_pair) and same_answers(pairing) else "undecided",
        accuracy=accuracy,
        tolerance=tolerance,
        causes=of_pair,
        notes=tuple(filter(None, (pairing.note, source, *_low_seeds(pairing, alpha)))),
        earlier=before,
        shared_encoder=_shared_encoders(pairing),
    )


def _causes(pairing: Pairing) -> tuple[Cause, ...]:
    """Return the differences between two models with the same weights, without their names; empty for other pairs."""
    pairs = pairing.pairs
    seeded = seed_dependent_settings(pairing.before) | seed_dependent_settings(pairing.after)
    change = declared_change(*pairs[0], NOTHING_DECLARED)
    of_seeds = {
        new.seed: [cause for cause in causes(old, new, change, seeded) if not cause.is_declared] for old, new in pairs
    }
    return over_seeds(of_seeds)


def _low_seeds(pairing: Pairing, alpha: float) -> Iterator[str]:
    for side, other in ((pairing.before, pairing.after), (pairing.after, pairing.before)):
        name = cell_name((side[0].model, side[0].method))
        yield from (f"{name}: {sentence}" for sentence in low_seed_sentences(side, other, alpha))


def _shared_encoders(pairing: Pairing) -> str:
    """Return the two models of a pair whose frozen encoders other pairs share; empty if there are no two.

    Such pairs count once in the correction, as the probes of one embedding do.
    """
    before, after = shared_encoder(pairing.before[0]), shared_encoder(pairing.after[0])
    return f"{before}={after}" if before and after and before != after else ""
