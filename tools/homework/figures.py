"""Numbers of the page as they are said, and the tests of differences: the gate's own."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

import numpy as np

from pytest_sst2.compare.comparison import compare
from pytest_sst2.compare.pairing import Pairing
from pytest_sst2.compare.significance import AccuracyChange, compare_one_seed, compare_seeds
from pytest_sst2.config.options import ALPHA, FAIL_ON_DEFAULT, TOLERANCE
from pytest_sst2.report.comparison_text import comparison_lines
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Record
from pytest_sst2.utils.formatting import signed_points

NOT_MEASURED = "not measured"
_WIDTH = 118
_PAGE_WIDTH = 120


def accuracy(record: Record | None) -> str:
    """Return ``0.8364 (0.826–0.846)``, or that there is no record."""
    if record is None:
        return NOT_MEASURED
    low, high = record.accuracy_interval
    return f"{record.accuracy:.4f} ({low:.3f}–{high:.3f})"


def mean_accuracy(records: Sequence[Record]) -> str:
    """Return the mean over seeds to four digits."""
    return f"{np.mean([record.accuracy for record in records]):.4f}"


def balanced_accuracy(record: Record) -> float:
    """Return the mean of the shares right among positive and among negative sentences: 0.5 for a constant answer."""
    labels, predictions = np.asarray(record.labels), np.asarray(record.predictions)
    return float(np.mean([(predictions[labels == label] == label).mean() for label in np.unique(labels)]))


def change(before: Sequence[Record], after: Sequence[Record]) -> AccuracyChange:
    """Return the paired comparison of two cells that were asked the same sentences by the same seeds."""
    pairing = Pairing(tuple(before), tuple(after), paired=True)
    first, second = pairing.right()
    if len(first) == 1:
        return compare_one_seed(first[0], second[0])
    return compare_seeds(first, second, paired=True, same_examples=pairing.same_examples)


def points(found: AccuracyChange) -> str:
    """Return ``−13.90 (−15.12 to −12.68)``."""
    low, high = map(signed_points, found.interval)
    return f"{signed_points(found.delta)} ({low} to {high})"


def p_value(p: float) -> str:
    """Return a p-value to four digits."""
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def gate_says(before: Results, after: Results) -> list[str]:
    """Return what ``pytest-sst2 compare`` prints of two results files: its verdict, table and causes, without times."""
    found = compare(before, after, tolerance=TOLERANCE, alpha=ALPHA)
    outcome, _headline, _blank, *lines = comparison_lines(found, FAIL_ON_DEFAULT.split(","), _WIDTH)
    table = lines[: lines.index("")] if found.cells and found.cells[0].accuracy else []
    causes = [line for line in lines if line.startswith(("incomparable:", "drift:"))]
    return [outcome, *(["", *table, ""] if table else []), *causes]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    if any(len(row) != len(headers) for row in rows):
        raise ValueError(f"a row of another length than the headers {', '.join(headers)}")  # GitHub would cut it
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def code(*lines: str) -> str:
    """Return lines as a block of code."""
    return "\n".join(["```", *lines, "```"])


def shell(command: str) -> str:
    """Return a command with its lines ended by a backslash where it is wider than the page."""
    return " \\\n".join(textwrap.wrap(command, _PAGE_WIDTH - 2, subsequent_indent="    ", break_on_hyphens=False))


def flowing(text: str) -> str:
    """Return Markdown with its paragraphs filled to the width of a page; tables, code and lists stay as they are."""
    blocks = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    return "".join(block if block.startswith("```") else _filled(block) for block in blocks)


def _filled(text: str) -> str:
    parts = text.split("\n\n")
    return "\n\n".join(part if part.lstrip("\n").startswith(("|", "#", "- ")) else _fill(part) for part in parts)


def _fill(paragraph: str) -> str:
    return textwrap.fill(paragraph.strip("\n"), _PAGE_WIDTH, break_long_words=False, break_on_hyphens=False)
