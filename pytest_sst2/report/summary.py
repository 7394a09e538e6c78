"""Collect what every report of a run says: headline, context, warnings, and the commands that repeat the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.run_outcome import Tone, run_outcome
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.report.comparison_text import once_each
from pytest_sst2.report.reproduce import install_command, remark, run_commands
from pytest_sst2.report.run_headline import run_advice, run_headline
from pytest_sst2.results.environment_diff import environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.formatting import plural, shorten

EPOCH_HEADERS = ("cell", "epoch", "training loss", "evaluation loss", "accuracy")


@dataclass(frozen=True)
class Report:
    """What every report of a run says.

    Attributes:
        advice: What the headline means for a reader who wants to merge; empty if there is nothing to add.
        problems: Problems of the run that are not about one cell.
        notes: What differs between the cells but should not.
        commands: The commands that measure the cells again.
        install: The command that installs the versions; empty without records.
        remark: What the commands leave to the reader; empty without records.
        to_read: The definitions of changed packages that ran, in lines; empty if they were not traced.
    """

    headline: str
    advice: str
    tone: Tone
    records: tuple[Record, ...]
    failures: tuple[Failure, ...]
    comparison: Comparison | None
    within: WithinRun | None
    fail_on: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[str, ...]
    install: str
    remark: str
    to_read: tuple[str, ...] = ()


def make_report(
    results: Results,
    comparison: Comparison | None = None,
    fail_on: Collection[str] = (),
    problems: Sequence[str] = (),
    tests: Sequence[str] | None = None,
    within: WithinRun | None = None,
) -> Report:
    """Return the report of some results and, if they were compared, of their comparison.

    ``problems`` are those of the run, not of one cell; ``tests`` those on pytest's command line, None if unknown.
    ``within`` compares cells of these results with one another.
    """
    outcome = run_outcome(results, comparison, fail_on, problems, has_question=bool(within and within.cells))
    return Report(
        headline=run_headline(outcome, results, comparison, fail_on, within),
        advice=run_advice(outcome, comparison, fail_on, within),
        tone=outcome.tone,
        records=tuple(results.records),
        failures=tuple(results.failures),
        comparison=comparison,
        within=within,
        fail_on=tuple(fail_on),
        problems=tuple(problems),
        notes=tuple(_mixture_notes(results.records)),
        commands=tuple(run_commands(results.records, tests)),
        install=install_command(results.records) if results.records else "",
        remark=remark(results.records, tests) if results.records else "",
    )


def context_lines(record: Record) -> list[str]:
    """Return what all cells of a run share (data, recipe, device, dtype, versions), and the note of the data."""
    data, environment = record.dataset, record.environment
    # Twelve characters of a commit identify it.
    revision = data.revision if data.revision.startswith("sha256:") else data.revision[:12]
    lines = [
        f"{data.name} ({revision}) {data.split} n={data.eval_size:,}, "
        f"trained on {data.train_size:,} · recipe {record.recipe_label} · {environment.device} × "
        f"{plural(environment.threads, 'thread')} · {record.recipe.dtype} · Python {environment.python}, "
        f"{environment.headline}"
    ]
    if data.note:
        lines.append(f"NOTE: {data.note}")
    return lines


def epoch_rows(records: Sequence[Record]) -> list[tuple[str, ...]]:
    """Return the learning curve of each record as rows under ``EPOCH_HEADERS``."""
    return [
        (record.name, str(epoch.number), *(f"{value:.4f}" for value in values))
        for record in records
        for epoch in record.epochs
        for values in [(epoch.train_loss, epoch.eval_loss, epoch.eval_accuracy)]
    ]


def warning_lines(records: Sequence[Record]) -> list[str]:
    """Return each distinct warning once, with the cells it is about."""
    return once_each("warning", [(record.name, record.warnings) for record in records])


def _mixture_notes(records: Sequence[Record]) -> list[str]:
    """Return the unwanted differences between the cells of one table; files of several runs may be joined."""
    revisions = list(dict.fromkeys(f"{record.dataset.name} ({record.dataset.revision})" for record in records))
    notes = []
    if len(revisions) > 1:
        notes.append(f"note: the cells were measured on different data: {', '.join(revisions)}")
    others = [record.environment for record in records[1:] if record.environment != records[0].environment]
    if others:
        changes = environment_changes(records[0].environment, others[0])
        values = [f"{change.name} {change.before or 'none'} / {change.after or 'none'}" for change in changes]
        notes.append(f"note: the cells were measured in different environments: {shorten(values, 3)}")
    return notes
