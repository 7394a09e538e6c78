"""Cells of a report: what is looked at beside a cell's verdict, worked out once; renderers only render it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_sst2.compare.comparison import CellComparison, Comparison
from pytest_sst2.compare.flips import Flip, flips, mistakes
from pytest_sst2.compare.pairing import CellKey, Pairing, by_cell, cell_name, pairing_of
from pytest_sst2.compare.probability_calibration import ConfidenceBin, expected_calibration_error, reliability
from pytest_sst2.compare.slices import SliceScore, score_slices
from pytest_sst2.data.sentence_lookup import SentencesOf
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Epoch, Record


@dataclass(frozen=True)
class Confusion:
    """Answers by label, summed over the seeds."""

    true_negative: int
    false_positive: int
    false_negative: int
    true_positive: int


@dataclass(frozen=True)
class Calibration:
    """A reliability curve and its expected calibration error."""

    bins: tuple[ConfidenceBin, ...]
    error: float


@dataclass(frozen=True)
class CellReport:
    """One cell (model × method) of a report, all its seeds together.

    Attributes:
        name: ``minilm × linear-probe``.
        records: One a seed.
        comparison: Against the baseline; None where there is none, or it does not have this cell.
        is_compared: Whether before and after stand beside each other.
        confusion: Now; None, as all that follows is empty, for a record of schema 1, which has no labels.
        confusion_before: Then; None where the cell is not compared.
        calibration: Now.
        calibration_before: Then; None where the cell is not compared.
        slices: By kind of sentence; empty where the sentences are not at hand.
        flips: With a baseline, what is answered otherwise, the worst first; without, what is answered wrong.
        has_sentences: Whether the sentences are at hand.
    """

    name: str
    records: tuple[Record, ...]
    comparison: CellComparison | None = None
    is_compared: bool = False
    confusion: Confusion | None = None
    confusion_before: Confusion | None = None
    calibration: Calibration | None = None
    calibration_before: Calibration | None = None
    slices: tuple[SliceScore, ...] = ()
    flips: tuple[Flip, ...] = ()
    has_sentences: bool = False

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(record.accuracy for record in self.records)

    @property
    def epochs(self) -> list[Epoch]:
        """The learning curve: the means over the seeds, of the epochs that all have."""
        return [
            Epoch(
                each[0].number,
                statistics.fmean(epoch.train_loss for epoch in each),
                statistics.fmean(epoch.eval_loss for epoch in each),
                statistics.fmean(epoch.eval_accuracy for epoch in each),
            )
            for each in zip(*(record.epochs for record in self.records), strict=False)
        ]


def cell_reports(
    after: Results,
    sentences_of: SentencesOf,
    before: Results | None = None,
    comparison: Comparison | None = None,
) -> list[CellReport]:
    """Return what is to be seen of every cell, in the order they ran.

    Args:
        after: What was measured.
        sentences_of: Where the evaluation sentences come from.
        before: The baseline, where there is one.
        comparison: With it.
    """
    new, old = by_cell(after.records), by_cell(before.records) if before else {}
    compared = {(cell.model, cell.method): cell for cell in comparison.cells} if comparison else {}
    found = []
    for key, seeds in new.items():
        cell = compared.get(key)
        is_comparable = cell is not None and cell.verdict != "incomparable"
        pairing = pairing_of(old[key], seeds) if is_comparable else None
        if pairing and not (pairing.paired or pairing.same_examples):
            # Each seed was asked its own sentences: there is none to be set beside another's answer.
            pairing = None
        found.append(_cell(key, tuple(seeds.values()), cell, pairing, sentences_of))
    return found


def _cell(
    key: CellKey,
    records: tuple[Record, ...],
    comparison: CellComparison | None,
    pairing: Pairing | None,
    sentences_of: SentencesOf,
) -> CellReport:
    found = CellReport(cell_name(key), records, comparison)
    shown = _with_labels(pairing or Pairing(records, records, paired=True))
    if shown is None:
        return found
    texts = {record.seed: sentences_of(record) for record in shown.after}
    sentences = {seed: each for seed, each in texts.items() if each is not None}
    complete = len(sentences) == len(texts)
    return replace(
        found,
        is_compared=pairing is not None,
        confusion=_confusion(shown.after),
        confusion_before=_confusion(shown.before) if pairing else None,
        calibration=_calibration(shown.after),
        calibration_before=_calibration(shown.before) if pairing else None,
        slices=tuple(score_slices(shown, sentences, compared=pairing is not None)) if complete else (),
        flips=tuple(flips(shown, sentences) if pairing else mistakes(shown.after, sentences)),
        has_sentences=complete,
    )


def _with_labels(pairing: Pairing) -> Pairing | None:
    """Return the pairing with labels in every record: one of schema 1 borrows them; None where there are none."""
    sides = (pairing.before, pairing.after)
    # Where seeds are paired, each has its own labels; else all have those of the validation split.
    lenders = [
        other if pairing.paired else (other[0],) * len(side) for side, other in zip(sides, sides[::-1], strict=True)
    ]
    filled = [
        tuple(replace(record, labels=record.labels or lender.labels) for record, lender in zip(*each, strict=True))
        for each in zip(sides, lenders, strict=True)
    ]
    if not all(record.labels for side in filled for record in side):
        return None
    return replace(pairing, before=filled[0], after=filled[1])


def _confusion(records: Sequence[Record]) -> Confusion:
    counts = np.zeros((2, 2), dtype=int)
    for record in records:
        np.add.at(counts, (np.asarray(record.labels), np.asarray(record.predictions)), 1)
    (true_negative, false_positive), (false_negative, true_positive) = counts.tolist()
    return Confusion(true_negative, false_positive, false_negative, true_positive)


def _calibration(records: Sequence[Record]) -> Calibration:
    probabilities, predictions, labels = (
        np.concatenate([np.asarray(getattr(record, name)) for record in records])
        for name in ("probabilities", "predictions", "labels")
    )
    bins = reliability(probabilities.astype(float), predictions, labels)
    return Calibration(bins, expected_calibration_error(bins))
