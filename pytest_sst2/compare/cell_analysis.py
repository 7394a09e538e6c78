"""Analyse each cell for a report: confusion matrix, calibration, slices and flips, next to its comparison."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.flips import Flip, flips, mistakes
from pytest_sst2.compare.pairing import CellKey, Pairing, by_cell, pair_records
from pytest_sst2.compare.probability_calibration import calibration_bins, expected_calibration_error
from pytest_sst2.compare.slices import SliceScore, score_slices
from pytest_sst2.config.specs import cell_name
from pytest_sst2.data.sentence_lookup import SentencesOf
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record

Confusion = tuple[tuple[int, int], tuple[int, int]]
"""The confusion matrix, summed over the seeds: a row for each label, a column for each predicted class."""


@dataclass(frozen=True)
class CellAnalysis:
    """One cell (model × method) of a report, with one record per seed.

    ``comparison`` is None if there is no baseline or it lacks this cell. The fields from ``confusion`` on are empty for
    records of schema 1, which have no labels; those of the baseline are None unless ``is_compared``. ``slices`` is
    empty without the sentences. ``flips`` are, the worst first, the sentences whose predictions changed; without a
    baseline, the mistakes.
    """

    name: str
    records: tuple[Record, ...]
    comparison: CellComparison | None = None
    is_compared: bool = False
    confusion: Confusion | None = None
    confusion_before: Confusion | None = None
    calibration_error: float | None = None
    calibration_error_before: float | None = None
    slices: tuple[SliceScore, ...] = ()
    flips: tuple[Flip, ...] = ()
    has_sentences: bool = False

    @property
    def accuracy(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(record.accuracy for record in self.records)

    @property
    def attention_rank(self) -> int:
        """0 if the cell regressed or missed its floor, 1 if anything else changed, 2 otherwise."""
        flags = self.comparison.flags if self.comparison else frozenset()
        if "regressed" in flags or not all(record.reaches_floor for record in self.records):
            return 0
        return 1 if flags or (self.comparison and self.comparison.verdict == "improved") else 2


def analyse_cells(
    after: Results, sentences_of: SentencesOf, before: Results | None = None, comparison: Comparison | None = None
) -> list[CellAnalysis]:
    """Return the analysis of every cell, in the order in which the cells ran."""
    new, old = by_cell(after.records), by_cell(before.records) if before else {}
    compared = {(cell.model, cell.method): cell for cell in comparison.cells} if comparison else {}
    analyses = []
    for key, seeds in new.items():
        cell = compared.get(key)
        is_comparable = cell is not None and cell.verdict != "incomparable"
        pairing = pair_records(old[cell.earlier or key], seeds) if cell and is_comparable else None
        if pairing and not (pairing.paired or pairing.same_examples):
            # Each seed has its own sentences, so no prediction has a counterpart.
            pairing = None
        analyses.append(_analyse_cell(key, tuple(seeds.values()), cell, pairing, sentences_of))
    return analyses


def _analyse_cell(
    key: CellKey,
    records: tuple[Record, ...],
    comparison: CellComparison | None,
    pairing: Pairing | None,
    sentences_of: SentencesOf,
) -> CellAnalysis:
    analysis = CellAnalysis(cell_name(key), records, comparison)
    labelled = (pairing or Pairing(records, records, paired=True)).with_labels()
    if not all(record.labels for record in (*labelled.before, *labelled.after)):
        return analysis
    texts = {record.seed: sentences_of(record) for record in labelled.after}
    sentences = {seed: of_seed for seed, of_seed in texts.items() if of_seed is not None}
    has_sentences = len(sentences) == len(texts)
    return replace(
        analysis,
        is_compared=pairing is not None,
        confusion=_confusion(labelled.after),
        confusion_before=_confusion(labelled.before) if pairing else None,
        calibration_error=_calibration_error(labelled.after),
        calibration_error_before=_calibration_error(labelled.before) if pairing else None,
        slices=tuple(score_slices(labelled, sentences, compared=pairing is not None)) if has_sentences else (),
        flips=tuple(flips(labelled, sentences) if pairing else mistakes(labelled.after, sentences)),
        has_sentences=has_sentences,
    )


def _confusion(records: Sequence[Record]) -> Confusion:
    counts = np.zeros((2, 2), dtype=int)
    for record in records:
        np.add.at(counts, (np.asarray(record.labels), np.asarray(record.predictions)), 1)
    negative, positive = counts.tolist()
    return tuple(negative), tuple(positive)


def _calibration_error(records: Sequence[Record]) -> float:
    probabilities, predictions, labels = (
        np.concatenate([np.asarray(getattr(record, name)) for record in records])
        for name in ("probabilities", "predictions", "labels")
    )
    return expected_calibration_error(calibration_bins(probabilities.astype(float), predictions, labels))
