"""The properties of a JUnit file: of each test that measured a cell, and of the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_sst2.utils.formatting import signed_points
from pytest_sst2.utils.sanitize import one_line

if TYPE_CHECKING:
    from pytest_sst2.compare.comparison import Comparison
    from pytest_sst2.results.record import Record


def cell_properties(record: Record) -> list[tuple[str, object]]:
    """Return the properties of a test: accuracy, its interval, its floor and the seconds of its phases."""
    low, high = record.accuracy_interval
    return [
        ("sst2_accuracy", f"{record.accuracy:.6f}"),
        ("sst2_accuracy_interval", f"{low:.6f} {high:.6f}"),
        ("sst2_floor", f"{record.floor.accuracy:.6f}" if record.floor else "none"),
        ("sst2_seconds", f"{sum(phase.seconds for phase in record.phases):.3f}"),
    ]


def run_properties(comparison: Comparison, opening: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the properties of a run: its headline, what that means, and a line per cell."""
    texts = dict(zip(("sst2_headline", "sst2_advice"), opening, strict=True))
    for cell in comparison.cells:
        seeds = [f"seed {failed.seed} failed" for failed in cell.failed_seeds]
        worst = [f"at worst {signed_points(cell.accuracy.at_worst)} points"] if cell.accuracy else []
        texts[f"sst2_verdict {cell.name}"] = ", ".join([cell.verdict, *worst, *seeds])
    return [(one_line(name), one_line(text)) for name, text in texts.items()]
