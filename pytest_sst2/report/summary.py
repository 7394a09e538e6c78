"""Collect what every report of a run says: headline, context, warnings, and the commands that repeat the run."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.run_outcome import RunOutcome, Tone, run_outcome
from pytest_sst2.report.comparison_text import counts_sentence, once_each
from pytest_sst2.report.reproduce import TESTS_UNKNOWN, install_command, run_commands
from pytest_sst2.results.environment_diff import environment_changes
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Failure, Record
from pytest_sst2.utils.formatting import plural, shorten


@dataclass(frozen=True)
class Report:
    """What every report of a run says.

    Attributes:
        problems: Problems of the run that are not about one cell.
        notes: What differs between the cells but should not.
        commands: The commands that measure the cells again.
        install: The command that installs the versions; empty without records.
        remark: A comment for the commands, about what is unknown; empty if nothing is.
    """

    headline: str
    tone: Tone
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
    """Return the report of some results and, if they were compared, of their comparison.

    ``problems`` are those of the run, not of one cell; ``tests`` those on pytest's command line, None if unknown.
    """
    outcome = run_outcome(results, comparison, fail_on, problems)
    return Report(
        headline=headline(outcome, comparison),
        tone=outcome.tone,
        records=tuple(results.records),
        failures=tuple(results.failures),
        comparison=comparison,
        fail_on=tuple(fail_on),
        problems=tuple(problems),
        notes=tuple(_mixture_notes(results.records)),
        commands=tuple(run_commands(results.records, tests)),
        install=install_command(results.records) if results.records else "",
        remark=TESTS_UNKNOWN if tests is None and results.records else "",
    )


def headline(run: RunOutcome, comparison: Comparison | None) -> str:
    """Return the outcome of a run in one sentence, with the numbers behind it."""
    details = _trouble(run) if run.has_trouble else _floors(run) if comparison is None else ""
    counts = counts_sentence(comparison) if comparison is not None else ""
    return f"{run.outcome}: {'; '.join(filter(None, (counts, details)))}"


def _trouble(run: RunOutcome) -> str:
    low = run.below_floor
    sentences = (
        f"{low} of {plural(run.cells, 'cell')} below {'its' if low == 1 else 'their'} floor" if low else "",
        f"{plural(run.failures, 'cell')} without a number" if run.failures else "",
        f"{plural(run.problems, 'problem')} with the run" if run.problems else "",
    )
    return ", ".join(filter(None, sentences))


def _floors(run: RunOutcome) -> str:
    if run.outcome == "NOTHING MEASURED":
        return "no cell has a number"
    if run.outcome == "PASSES":
        return f"{plural(run.cells, 'cell')}, {'each reaches' if run.cells > 1 else 'it reaches'} its floor"
    return f"{plural(run.cells, 'cell')}, {run.reach_floor or 'none'} of them with a floor to reach"


def context_lines(record: Record) -> list[str]:
    """Return what all cells of a run have in common: data, recipe, device, dtype and versions; and the data's note."""
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


def warning_lines(records: Sequence[Record]) -> list[str]:
    """Return each distinct warning once, with the cells it is about."""
    return once_each("warning", [(record.cell, record.warnings) for record in records])


def _mixture_notes(records: Sequence[Record]) -> list[str]:
    """Return what differs between the cells of one table but should not; files of several runs may be joined."""
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
