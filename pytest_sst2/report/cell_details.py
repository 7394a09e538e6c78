"""Lay out the details of one cell for the HTML report: confusion matrix, slices, calibration, flips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_sst2.compare.cell_analysis import CellAnalysis
from pytest_sst2.compare.flips import Predictions
from pytest_sst2.compare.slices import SliceScore, most_changed
from pytest_sst2.report.cell_charts import calibration_chart, slice_chart
from pytest_sst2.utils.formatting import plural, signed_points

_MOST_FLIPS = 50
_MOST_CHANGED_SLICES = 10
_LABELS = ("negative", "positive")
CHANGED_SLICE_HEADERS = ("cell", "slice", "sentences", "before", "after", "Δ points", "at worst", "at best")


def cell_details(cell: CellAnalysis) -> dict[str, Any]:
    """Return the template's variables for one cell."""
    is_compared = cell.is_compared
    slice_headers: tuple[str, ...] = ("", "slice", "sentences", "accuracy", "95 % interval")
    if is_compared:
        slice_headers = (*slice_headers[:3], "before", "after", "Δ points", "at worst", "at best")
    return {
        "name": cell.name,
        "summary": _summary(cell),
        **_confusion(cell),
        "figures": [figure for draw in (slice_chart, calibration_chart) if (figure := draw(cell))],
        "slice_headers": slice_headers,
        "slices": [_slice_row(score) for score in cell.slices],
        "note": _note(cell),
        **_flips(cell),
    }


def _summary(cell: CellAnalysis) -> str:
    seeds = plural(len(cell.records), "seed")
    if cell.comparison is None or cell.comparison.accuracy is None:
        return f"{cell.accuracy:.4f} · {seeds}"
    change = cell.comparison.accuracy
    return (
        f"{cell.comparison.verdict} · {change.before:.4f} → {change.after:.4f} ({signed_points(change.delta)} points) "
        f"· {seeds}"
    )


def _confusion(cell: CellAnalysis) -> dict[str, Any]:
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
    return {
        "confusion_title": title,
        "confusion_headers": ("label", *(f"predicted {label}{ending}" for label in _LABELS for ending in endings)),
        "confusion": rows if sides else [],
    }


def _slice_row(score: SliceScore) -> tuple[str, ...]:
    start = (score.group, score.name, f"{score.examples:,}")
    if score.change is None:
        return (*start, f"{score.accuracy:.4f}", f"{score.interval.low:.3f}–{score.interval.high:.3f}")
    return (
        *start,
        f"{score.change.before:.4f}",
        f"{score.change.after:.4f}",
        signed_points(score.change.delta),
        signed_points(score.change.at_worst),
        signed_points(score.change.at_best),
    )


def _note(cell: CellAnalysis) -> str:
    if cell.confusion is None:
        return "These results have schema version 1, which has no labels, so nothing more can be shown."
    if not cell.has_sentences:
        return (
            "The sentences are not shown: records hold none, and the data they were measured on was not found. Give it "
            "with pytest-sst2 report --data FOLDER."
        )
    return ""


def _flips(cell: CellAnalysis) -> dict[str, Any]:
    title = "Predictions that changed" if cell.is_compared else "Wrong predictions"
    if len(cell.flips) > _MOST_FLIPS:
        title += f": the worst {_MOST_FLIPS} of {len(cell.flips):,}"
    else:
        title += f": {plural(len(cell.flips), 'sentence')}"
    headers = ["sentence", "label", *(["before", "after"] if cell.is_compared else ["prediction"])]
    numbers = ["P(positive) before", "P(positive) after"] if cell.is_compared else ["P(positive)"]
    rows = []
    for flip in cell.flips[:_MOST_FLIPS]:
        sides = [flip.before, flip.after] if flip.before is not None else [flip.after]
        where = f"row {flip.row}" + (f" of seed {flip.seed}" if flip.seed is not None else "")
        rows.append(
            [
                flip.sentence if flip.sentence is not None else where,
                _LABELS[flip.label],
                *(_predicted(side) for side in sides),
                *(f"{side.probability:.3f}" for side in sides),
            ]
        )
    return {"flips_title": title, "flip_headers": [*headers, *numbers], "flip_numbers": numbers, "flips": rows}


def _predicted(side: Predictions) -> str:
    if side.positive in (0, side.seeds):
        return _LABELS[bool(side.positive)]
    return f"positive in {side.positive} of {side.seeds} seeds"


def changed_slice_rows(cells: Sequence[CellAnalysis]) -> list[tuple[str, ...]]:
    """Return the slices that changed most in any cell, as rows under ``CHANGED_SLICE_HEADERS``."""
    scores = [(cell.name, score) for cell in cells for score in cell.slices]
    return [
        (
            cell,
            score.name,
            f"{score.examples:,}",
            f"{change.before:.4f}",
            f"{change.after:.4f}",
            signed_points(change.delta),
            signed_points(change.at_worst),
            signed_points(change.at_best),
        )
        for cell, score, change in most_changed(scores)[:_MOST_CHANGED_SLICES]
    ]
