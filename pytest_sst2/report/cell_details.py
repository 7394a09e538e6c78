"""Lay out the details of one cell for the HTML report: confusion matrix, calibration, slices, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.flips import Predictions
from pytest_sst2.compare.slices import SliceScore, most_changed
from pytest_sst2.report.page_table import Table, plain_table
from pytest_sst2.utils.formatting import plural, signed_points

_MOST_FLIPS = 50
_MOST_CHANGED_SLICES = 8
# Cells, and sentences of each, in the summary of what moved.
_MOST_MOVED = 4
_LABELS = ("negative", "positive")
_CHANGED = ("sentences", "before", "after", "Δ points", "lost", "gained")


def cell_details(cell: CellAnalysis) -> dict[str, Any]:
    """Return the template's variables for one cell."""
    headers = ("", "slice", *(_CHANGED if cell.is_compared else ("sentences", "accuracy")))
    slices = [(score.group, score.name, *_slice_texts(score)) for score in cell.slices]
    tables = [_confusion(cell), plain_table("Accuracy by kind of sentence", headers, slices, headers[2:]), _flips(cell)]
    return {
        "name": cell.name,
        "summary": _summary(cell),
        "notes": [*_calibration(cell), *_note(cell)],
        "tables": [table for table in tables if table.rows],
    }


def changed_sentences(cells: Sequence[CellAnalysis]) -> Table:
    """Return the sentences that a few cells lost, the worst of the most important cells first."""
    compared = [cell for cell in sorted(cells, key=lambda cell: cell.attention_rank) if cell.is_compared and cell.flips]
    rows = _joined((cell.name, row[:4]) for cell in compared[:_MOST_MOVED] for row in _flip_rows(cell)[:_MOST_MOVED])
    label = "Sentences whose answers changed, the worst first"
    return plain_table(label, ("sentence", "label", "before", "after", "cell"), rows, kind="sentences")


def changed_slices(cells: Sequence[CellAnalysis]) -> Table:
    """Return the kinds of sentences that changed most in any cell."""
    scores = [(cell.name, score) for cell in cells for score in cell.slices]
    rows = _joined((cell, (score.name, *_slice_texts(score))) for cell, score, _ in most_changed(scores))
    label = "Kinds of sentences that changed most; they decide nothing"
    return plain_table(label, ("kind", *_CHANGED, "cell"), rows[:_MOST_CHANGED_SLICES], _CHANGED)


def _joined(rows: Iterable[tuple[str, tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Return each distinct row once, with the names of its cells at the end."""
    names: dict[tuple[str, ...], list[str]] = {}
    for name, texts in rows:
        names.setdefault(texts, []).append(name)
    return [(*texts, ", ".join(of_row)) for texts, of_row in names.items()]


def _summary(cell: CellAnalysis) -> str:
    seeds = plural(len(cell.records), "seed")
    change = cell.comparison.accuracy if cell.comparison else None
    if cell.comparison is None or change is None:
        return f"{cell.accuracy:.4f} · {seeds}"
    moved = f"{change.before:.4f} → {change.after:.4f}"
    return f"{cell.comparison.verdict} · {moved} ({signed_points(change.delta)} points) · {seeds}"


def _confusion(cell: CellAnalysis) -> Table:
    title = "Predictions by label" + (", summed over the seeds" if len(cell.records) > 1 else "")
    sides = [confusion for confusion in (cell.confusion_before, cell.confusion) if confusion]
    totals = [sum(map(sum, side)) for side in sides]
    if len(set(totals)) > 1:
        title = f"Predictions by label, summed over all seeds: {totals[0]:,} predictions before, {totals[1]:,} after"
    endings = (", before", ", after") if cell.is_compared else ("",)
    # Under each predicted class the counts of all sides.
    rows = [
        (label, *(f"{side[number][predicted]:,}" for predicted in (0, 1) for side in sides))
        for number, label in enumerate(_LABELS)
    ]
    headers = ("label", *(f"predicted {label}{ending}" for label in _LABELS for ending in endings))
    return plain_table(title, headers, rows if sides else [], headers[1:])


def _calibration(cell: CellAnalysis) -> list[str]:
    sides = (("before", cell.calibration_error_before), ("after" if cell.is_compared else "", cell.calibration_error))
    errors = [f"{100 * error:.1f} {name}".strip() for name, error in sides if error is not None]
    return [f"Expected calibration error, percentage points: {', '.join(errors)}."] if errors else []


def _slice_texts(score: SliceScore) -> tuple[str, ...]:
    change = score.change
    if change is None:
        return f"{score.examples:,}", f"{score.accuracy:.4f}"
    return (
        f"{score.examples:,}",
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        signed_points(change.delta),
        f"{change.losses:,}",
        f"{change.gains:,}",
    )


def _note(cell: CellAnalysis) -> list[str]:
    if cell.confusion is None:
        return ["These results have schema version 1, which has no labels, so nothing more can be shown."]
    if not cell.has_sentences:
        return [
            "The sentences are not shown: records hold none, and the data they were measured on was not found. Give it "
            "with pytest-sst2 report --data FOLDER."
        ]
    return []


def _flips(cell: CellAnalysis) -> Table:
    title = "Predictions that changed" if cell.is_compared else "Wrong predictions"
    if len(cell.flips) > _MOST_FLIPS:
        title += f": the worst {_MOST_FLIPS} of {len(cell.flips):,}"
    else:
        title += f": {plural(len(cell.flips), 'sentence')}"
    sides = ("before", "after") if cell.is_compared else ("prediction",)
    numbers = tuple(f"P(positive) {side}" for side in sides) if cell.is_compared else ("P(positive)",)
    return plain_table(
        title, ("sentence", "label", *sides, *numbers), _flip_rows(cell)[:_MOST_FLIPS], numbers, "sentences"
    )


def _flip_rows(cell: CellAnalysis) -> list[tuple[str, ...]]:
    """Return for each sentence its text or place, its label, and the class and probability predicted by each side."""
    rows = []
    for flip in cell.flips:
        sides = [flip.before, flip.after] if flip.before is not None else [flip.after]
        where = f"row {flip.row}" + (f" of seed {flip.seed}" if flip.seed is not None else "")
        probabilities = (f"{side.probability:.3f}" for side in sides)
        text = flip.sentence if flip.sentence is not None else where
        rows.append((text, _LABELS[flip.label], *map(_predicted, sides), *probabilities))
    return rows


def _predicted(side: Predictions) -> str:
    if side.positive in (0, side.seeds):
        return _LABELS[bool(side.positive)]
    return f"positive in {side.positive} of {side.seeds} seeds"
