"""Recognise how the values of rows differ: permuted, shifted, in one stretch, or in rows of some lengths."""

from __future__ import annotations

import numpy as np

from pytest_sst2.utils.formatting import plural

# The share of the moved rows that a shift must explain. Rows at its ends have no counterpart.
_SHIFTED = 0.9
# A stretch of more than this share of the rows is no pattern.
_LONGEST_STRETCH = 0.5
# Fewer moved rows than this are listed by their first one only.
_FEWEST = 4


def moved_rows(old: np.ndarray, new: np.ndarray, tolerance: float) -> np.ndarray:
    """Return whether each value moved by more than the tolerance, bool, of shape (n,)."""
    return np.asarray(np.abs(new - old) > tolerance)


def row_pattern(old: np.ndarray, new: np.ndarray, tolerance: float, lengths: np.ndarray | None = None) -> str:
    """Return how the moved rows are related, in words; at least the number of the first one.

    Args:
        old: The earlier value of each row.
        new: The later value of each row.
        tolerance: The difference that does not count.
        lengths: Number of tokens of each row; None if unknown.
    """
    rows = np.flatnonzero(moved_rows(old, new, tolerance))
    if not len(rows):
        return ""
    if permutation := _permutation(old, new, tolerance, rows):
        return permutation
    if stretch := _stretch(rows, len(old)):
        return stretch
    if lengths is not None and (band := band_of_lengths(rows, lengths)):
        return band
    return f"the first is row {rows[0]}"


def _permutation(old: np.ndarray, new: np.ndarray, tolerance: float, rows: np.ndarray) -> str:
    """Return the shift or permutation that gives the new values; empty if there is none."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    before, after = old[first:last], new[first:last]
    where = f"rows {first} to {last - 1}" if last - first < len(old) else "all rows"
    if len(rows) >= _FEWEST and (shift := _shift(before, after, tolerance)):
        return (
            f"{where} have the values of rows {plural(abs(shift), 'place')} {'before' if shift > 0 else 'after'} them"
        )
    spread = np.ptp(old[rows]) > 2 * len(rows) * tolerance  # otherwise any values would match when sorted
    if spread and len(rows) > 1 and not moved_rows(np.sort(old[rows]), np.sort(new[rows]), tolerance).any():
        return f"the values of {len(rows):,} rows are in another order"
    return ""


def _shift(before: np.ndarray, after: np.ndarray, tolerance: float) -> int:
    """Return by how many rows the values are shifted, positive if they come from earlier rows; 0 if they are not."""
    count = len(before)
    still = before[:-1]
    if not len(still) or np.ptp(still) <= tolerance:
        return 0
    longest = min(count // 2, 64)
    moved = moved_rows(before, after, tolerance)
    for shift in (sign * places for places in range(1, longest + 1) for sign in (1, -1)):
        here, there = (
            (slice(shift, None), slice(None, -shift)) if shift > 0 else (slice(None, shift), slice(-shift, None))
        )
        differs = moved_rows(before[there], after[here], tolerance)
        # Rows that did not move may equal their neighbours, as the answers of a saturated classifier do.
        of_moved = differs[moved[here]]
        if len(of_moved) and 1 - max(differs.mean(), of_moved.mean()) >= _SHIFTED:
            return shift
    return 0


def _stretch(rows: np.ndarray, total: int) -> str:
    """Return the stretch of consecutive rows that moved; empty if others moved, or all."""
    first, last = int(rows[0]), int(rows[-1])
    length = last - first + 1
    if length > _LONGEST_STRETCH * total or len(rows) < _FEWEST or len(rows) < _SHIFTED * length:
        return ""
    return f"all between rows {first} and {last}"


def band_of_lengths(rows: np.ndarray, lengths: np.ndarray) -> str:
    """Return the lengths whose rows all moved, if no row of another length did; empty if there are none."""
    if not len(rows):
        return ""
    least, most = int(lengths[rows].min()), int(lengths[rows].max())
    inside = int(((lengths >= least) & (lengths <= most)).sum())
    if inside == len(lengths) or len(rows) < _SHIFTED * inside:
        return ""
    if most == lengths.max():
        return f"those of {least} or more tokens"
    return f"those of up to {most} tokens" if least == lengths.min() else f"those of {least} to {most} tokens"
