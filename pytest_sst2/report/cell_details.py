"""Details: one cell as the HTML report unfolds it: answers by label, slices, calibration, flips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_sst2.compare.slices import SliceScore, moved_most
from pytest_sst2.report import charts
from pytest_sst2.report.cells import CellReport, Confusion
from pytest_sst2.utils.formatting import p_value, plural, signed_points

_MOST_FLIPS = 50
_MOST_MOVED = 10
_LABELS = ("negative", "positive")
MOVED_HEADERS = ("cell", "slice", "sentences", "before", "after", "Δ points", "p")


def cell_details(cell: CellReport) -> dict[str, Any]:
    """Return what the template shows of one cell."""
    is_compared = cell.is_compared
    slice_headers: tuple[str, ...] = ("", "slice", "sentences", "accuracy", "95 % interval")
    if is_compared:
        slice_headers = (*slice_headers[:3], "before", "after", "Δ points", "95 % interval", "p")
    return {
        "name": cell.name,
        "summary": _summary(cell),
        "confusion_title": _confusion_title(cell),
        "confusion_headers": _confusion_headers(cell),
        "confusion": _confusion_rows(cell),
        "figures": [drawn for draw in (charts.slice_chart, charts.reliability_chart) if (drawn := draw(cell))],
        "slice_headers": slice_headers,
        "slices": [_slice_row(score) for score in cell.slices],
        "note": _note(cell),
        **_flips(cell),
    }


def _summary(cell: CellReport) -> str:
    seeds = plural(len(cell.records), "seed")
    if cell.comparison is None or cell.comparison.accuracy is None:
        return f"{cell.accuracy:.4f} · {seeds}"
    change = cell.comparison.accuracy
    return (
        f"{cell.comparison.verdict} · {change.before:.4f} → {change.after:.4f} ({signed_points(change.delta)} points) "
        f"· {seeds}"
    )


def _confusion_title(cell: CellReport) -> str:
    before, after = (sum(map(sum, _counts(each))) if each else 0 for each in (cell.confusion_before, cell.confusion))
    if before and before != after:
        return f"Answers by label, summed over all seeds: {before:,} answers before, {after:,} after"
    return "Answers by label" + (", summed over the seeds" if len(cell.records) > 1 else "")


def _confusion_headers(cell: CellReport) -> tuple[str, ...]:
    answers = tuple(f"answered {label}" for label in _LABELS)
    if not cell.is_compared:
        return ("label", *answers)
    return ("label", *(f"{answer}, {side}" for answer in answers for side in ("before", "after")))


def _confusion_rows(cell: CellReport) -> list[tuple[str, ...]]:
    if cell.confusion is None:
        return []
    before = _counts(cell.confusion_before) if cell.confusion_before else None
    rows = []
    for number, (label, now) in enumerate(zip(_LABELS, _counts(cell.confusion), strict=True)):
        if before is None:
            rows.append((label, *(f"{count:,}" for count in now)))
        else:
            pairs = zip(before[number], now, strict=True)
            rows.append((label, *(f"{count:,}" for pair in pairs for count in pair)))
    return rows


def _counts(confusion: Confusion) -> tuple[tuple[int, int], tuple[int, int]]:
    return (
        (confusion.true_negative, confusion.false_positive),
        (confusion.false_negative, confusion.true_positive),
    )


def _slice_row(score: SliceScore) -> tuple[str, ...]:
    start = (score.group, score.name, f"{score.examples:,}")
    if score.change is None:
        return (*start, f"{score.accuracy:.4f}", f"{score.interval.low:.3f}–{score.interval.high:.3f}")
    low, high = score.change.interval
    return (
        *start,
        f"{score.change.before:.4f}",
        f"{score.change.after:.4f}",
        signed_points(score.change.delta),
        f"{signed_points(low)} to {signed_points(high)}",
        p_value(score.change.p_value),
    )


def _note(cell: CellReport) -> str:
    if cell.confusion is None:
        return "These results are of the first schema, which kept no labels: nothing more can be shown."
    if not cell.has_sentences:
        return (
            "The sentences are not shown: a record holds none, and the data that it was measured on is not at hand. "
            "pytest-sst2 report --data FOLDER names it."
        )
    return ""


def _flips(cell: CellReport) -> dict[str, Any]:
    title = "Answered otherwise than before" if cell.is_compared else "Answered wrong"
    if len(cell.flips) > _MOST_FLIPS:
        title += f": the worst {_MOST_FLIPS} of {len(cell.flips):,}"
    else:
        title += f": {plural(len(cell.flips), 'sentence')}"
    headers = ["sentence", "label", *(["before", "after"] if cell.is_compared else ["answer"])]
    numbers = ["P(positive) before", "P(positive) after"] if cell.is_compared else ["P(positive)"]
    rows = []
    for flip in cell.flips[:_MOST_FLIPS]:
        sides = [flip.before, flip.after] if flip.before is not None else [flip.after]
        where = f"row {flip.row}" + (f" of seed {flip.seed}" if flip.seed is not None else "")
        rows.append(
            [
                flip.sentence if flip.sentence is not None else where,
                _LABELS[flip.label],
                *(_answered(side.positive, side.seeds) for side in sides),
                *(f"{side.probability:.3f}" for side in sides),
            ]
        )
    return {"flips_title": title, "flip_headers": [*headers, *numbers], "flip_numbers": numbers, "flips": rows}


def _answered(positive: int, seeds: int) -> str:
    if positive in (0, seeds):
        return _LABELS[bool(positive)]
    return f"positive in {positive} of {seeds} seeds"


def moved_rows(cells: Sequence[CellReport]) -> list[tuple[str, ...]]:
    """Return the slices that moved most in any cell, as rows under ``MOVED_HEADERS``."""
    moved = [(cell, score) for cell in cells for score in moved_most(cell.slices)]
    moved.sort(key=lambda each: (each[1].change.p_value, -abs(each[1].change.delta)))  # type: ignore[union-attr]
    return [(cell.name, *_moved(score)) for cell, score in moved[:_MOST_MOVED]]


def _moved(score: SliceScore) -> tuple[str, ...]:
    change = score.change
    assert change is not None  # noqa: S101 - only those that moved
    return (
        score.name,
        f"{score.examples:,}",
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        signed_points(change.delta),
        p_value(change.p_value),
    )
