"""``pytest-sst2 plan``: what a comparison would decide, before it is paid for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_sst2.cli.output import add_format_option, join_lines, table
from pytest_sst2.config.option_parsers import points, positive_int, probability
from pytest_sst2.config.options import ALPHA, TOLERANCE
from pytest_sst2.config.recipes import HELDOUT_DEFAULT_SIZE
from pytest_sst2.results.baselines import load_results, project_folder
from pytest_sst2.utils.formatting import plural, points_text
from pytest_sst2.utils.sanitize import json_text

if TYPE_CHECKING:
    from pytest_sst2.compare.plan import PlanRow, Situation
    from pytest_sst2.results.record import Record

HELP = "show what a comparison would decide with a number of sentences and seeds, and its minutes"
_SEEDS = (1, 3, 5, 8)
VALIDATION_ROWS = 872  # of SST-2
_LARGEST_SENTENCES, _LARGEST_SEEDS = 100_000, 50
_HEADERS = ("sentences", "seeds", "drop found in 90 %", "harmless changes held", "minutes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "baseline", nargs="?", metavar="BASELINE", help="baseline or results file that has your times and spread"
    )
    text = f"accuracy that may be lost, in percentage points (default: {100 * TOLERANCE:g})"
    parser.add_argument("--tolerance", type=points, default=TOLERANCE, metavar="X", help=text)
    text = f"one-sided significance level (default: {ALPHA:g})"
    parser.add_argument("--alpha", type=probability, default=ALPHA, metavar="X", help=text)
    text = "numbers of evaluation sentences (default: those of the baseline, else 872; for SST-2 also 5000)"
    parser.add_argument("--sentences", type=_counts(_LARGEST_SENTENCES), metavar="N,M", help=text)
    numbers = ",".join(map(str, _SEEDS))
    text = f"numbers of seeds on each side, for cells that train in random steps (default: {numbers})"
    parser.add_argument("--seeds", type=_counts(_LARGEST_SEEDS), default=_SEEDS, metavar="N,M", help=text)
    add_format_option(parser)


def _counts(largest: int) -> Callable[[str], tuple[int, ...]]:
    def parse(text: str) -> tuple[int, ...]:
        numbers = tuple(dict.fromkeys(positive_int(part) for part in text.split(",")))
        if max(numbers) > largest:
            raise argparse.ArgumentTypeError(f"{max(numbers):,} is more than {largest:,}, the largest number allowed")
        return numbers

    return parse


def run(options: argparse.Namespace) -> tuple[str, int]:
    """Return the plan as text or JSON; the exit status is 0.

    Raises:
        Sst2Error: The baseline cannot be found or read.
    """
    here = Path.cwd()
    records = load_results(project_folder(here), here, options.baseline).records if options.baseline else ()

    from pytest_sst2.compare.plan import plan_rows
    from pytest_sst2.compare.plan_situations import default_situations, group_count, situations

    cells = situations(records) or default_situations()
    groups = group_count(records)
    plans = [
        (
            cell,
            list(
                plan_rows(
                    cell,
                    options.sentences or _sentences(records),
                    options.seeds,
                    tolerance=options.tolerance,
                    alpha=options.alpha,
                    groups=groups,
                )
            ),
        )
        for cell in cells
    ]
    if options.format == "json":
        values = [{**asdict(cell), "rows": [asdict(row) for row in rows]} for cell, rows in plans]
        head = {"tolerance": options.tolerance, "alpha": options.alpha, "groups": groups, "plans": values}
        return json_text(head), 0
    among = f", among {groups} groups of cells" if groups > 1 else ""
    rule = f"tolerance {points_text(options.tolerance)}, α {options.alpha:g}{among}"
    sections = [rule, *(_section(cell, rows) for cell, rows in plans)]
    return "\n\n".join([*sections, _EXPLANATION]), 0


def _sentences(records: Sequence[Record]) -> tuple[int, ...]:
    """Return the baseline's number of evaluation sentences, and that of the held-out split where SST-2 has it."""
    if not records:
        return (VALIDATION_ROWS, HELDOUT_DEFAULT_SIZE)
    own = records[0].total
    is_sst2 = records[0].dataset.name == "sst2"
    return (own, HELDOUT_DEFAULT_SIZE) if is_sst2 and own < HELDOUT_DEFAULT_SIZE else (own,)


_EXPLANATION = join_lines(
    [
        "drop found: the smallest true drop that is called regressed in 90 % of the runs.",
        "harmless changes held: of the changes that flip answers and cost nothing, the share that is shown to hold;",
        "    the others are undecided. A change that flips no answer is identical with one seed.",
        "minutes: for one side, on the baseline's machine; without a baseline on 2 cores of 2026.",
    ]
)


def _section(cell: Situation, rows: Sequence[PlanRow]) -> str:
    cheapest = min((row for row in rows if row.held >= 0.9), key=lambda row: row.seconds, default=None)
    advice = "no row shows 90 % of the harmless changes to hold: raise --tolerance, or plan more seeds or sentences"
    if cheapest is not None:
        size = f"{plural(cheapest.sentences, 'sentence')} × {plural(cheapest.seeds, 'seed')}"
        advice = f"the cheapest row that shows 90 % of the harmless changes to hold: {size}"
    texts = [
        (
            f"{row.sentences:,}",
            str(row.seeds),
            "none below 30 points" if row.found_drop is None else f"{100 * row.found_drop:.2f} points",
            f"{100 * row.held:.0f} %",
            f"{row.seconds / 60:.1f}",
        )
        for row in rows
    ]
    return "\n".join([f"{cell.name} ({', '.join(cell.sources)})", advice, table(texts, _HEADERS)])
