"""Decide the verdicts of all cells of a comparison, corrected for their number, and what would decide the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pytest_sst2.compare.cell_comparison import CellComparison
from pytest_sst2.compare.family import CellTest, adjusted_p_values
from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.significance import AccuracyChange
from pytest_sst2.compare.verdict import verdict_of
from pytest_sst2.compare.would_decide import would_decide


def with_verdicts(cells: Sequence[CellComparison], alpha: float) -> list[CellComparison]:
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


def compared_cells(cells: Sequence[CellComparison]) -> int:
    """Return the number of cells that could be compared."""
    return sum(cell.accuracy is not None for cell in cells)


def with_advice(
    cell: CellComparison, pairing: Pairing | None, compared: int, alpha: float, *, both: bool = False
) -> CellComparison:
    """Return an undecided cell with what would decide it, any other cell as it is; ``compared`` cells share alpha.

    With ``both``, the time that it takes is that of both sides.
    """
    if cell.verdict != "undecided" or cell.accuracy is None or pairing is None:
        return cell
    advice = would_decide(pairing, cell.accuracy, tolerance=cell.tolerance, alpha=alpha, cells=compared, both=both)
    return replace(cell, would_decide=advice)


def _test(cell: CellComparison, change: AccuracyChange, p: float) -> CellTest:
    """Return a cell's test for the correction; a cell with too few flips to exceed its tolerance cannot be rejected."""
    least_p = 1.0 if change.discordance <= cell.tolerance and change.least_p else change.least_p
    group = (cell.shared_encoder,) if cell.shared_encoder else (cell.model, cell.method, cell.earlier)
    return CellTest(p, least_p, group)


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
