"""Contents: what every report of a run says, worked out once; renderers only render it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.report.comparison_text import outcome
from pytest_sst2.report.reproduce import TESTS_UNKNOWN, install_command, run_commands
from pytest_sst2.results.environment_diff import environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.formatting import plural, shorten

Standing = Literal["good", "bad", "unclear"]


@dataclass(frozen=True)
class Report:
    """What every report of a run says.

    Attributes:
        verdict: The whole in one sentence.
        standing: Whether that is good news.
        records: Of this run.
        failures: Cells without a number.
        comparison: With the baseline; None without one.
        fail_on: What fails it.
        problems: What failed the run although no cell did.
        notes: In what the cells differ that should be one; empty if nothing.
        commands: What measures the cells again.
        install: What installs the versions; empty without a record.
        remark: What is not known of the commands, as a comment between them; empty if nothing.
    """

    verdict: str
    standing: Standing
    records: tuple[Record, ...]
    failures: tuple[Failure, ...]
    comparison: Comparison | None
    fail_on: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    install: str
    remark: str


def make_report(
    results: Results,
    comparison: Comparison | None = None,
    fail_on: Collection[str] = (),
    problems: Sequence[str] = (),
    tests: Sequence[str] | None = None,
) -> Report:
    """Return the report of some results and, where they were compared, of the comparison.

    Args:
        results: What was measured.
        comparison: With the baseline; None without one.
        fail_on: What fails it.
        problems: What failed the run although no cell did.
        tests: What pytest was given to collect, as it was typed; None where that is not known.
    """
    verdict, standing = verdict_of(results, comparison, fail_on, problems)
    return Report(
        verdict=verdict,
        standing=standing,
        records=tuple(results.records),
        failures=tuple(results.failures),
        comparison=comparison,
        fail_on=tuple(fail_on),
        problems=tuple(problems),
        notes=tuple(_mixture(results.records)),
        commands=tuple(run_commands(results.records, tests)),
        install=install_command(results.records) if results.records else "",
        remark=TESTS_UNKNOWN if tests is None and results.records else "",
    )


def _mixture(records: Sequence[Record]) -> list[str]:
    """Say in what the cells of one table differ that should be one: files of several runs may be joined."""
    contents = list(dict.fromkeys(f"{each.dataset.name} ({each.dataset.revision})" for each in records))
    found = [f"note: the cells are of several contents: {', '.join(contents)}"] if len(contents) > 1 else []
    others = [each.environment for each in records[1:] if each.environment != records[0].environment]
    if others:
        changes = environment_changes(records[0].environment, others[0])
        values = [f"{each.name} {each.before or 'none'} / {each.after or 'none'}" for each in changes]
        found.append(f"note: not all cells were measured in one environment: {shorten(values, 3)}")
    return found


def verdict_of(
    results: Results, comparison: Comparison | None, fail_on: Collection[str], problems: Sequence[str] = ()
) -> tuple[str, Standing]:
    """Return the verdict on the whole in one sentence, and whether it is good news.

    Floors, cells without a number and other problems fail a run whatever the comparison says.
    """
    low = sum(not record.reaches_floor for record in results.records)
    held = sum(record.floor is not None and record.reaches_floor for record in results.records)
    total, failed = len(results.records), len(results.failures)
    troubles = (
        f"{low} of {plural(total, 'cell')} below {'its' if low == 1 else 'their'} floor" if low else "",
        f"{plural(failed, 'cell')} without a number" if failed else "",
        f"{plural(len(problems), 'problem')} with the run" if problems else "",
    )
    trouble = ", ".join(filter(None, troubles))
    if comparison is not None:
        head, _, said = outcome(comparison, fail_on).partition(": ")
        standing: Standing = {"HOLDS": "good", "FAILS": "bad"}.get(head, "unclear")  # type: ignore[assignment]
        if not trouble:
            return f"{head}: {said}", standing
        return f"{'FAILS' if standing == 'good' else head}: {said}; {trouble}", "bad"
    if trouble:
        return f"FAILS: {trouble}", "bad"
    if not total:
        return "NOTHING MEASURED: no cell has a number", "unclear"
    if held == total:
        return f"PASSES: {plural(total, 'cell')}, {'each reaches' if total > 1 else 'it reaches'} its floor", "good"
    return f"MEASURED: {plural(total, 'cell')}, {held or 'none'} of them with a floor to reach", "unclear"
