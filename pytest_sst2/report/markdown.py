"""Render the report as Markdown for a pull request and a job summary: headline, table, findings, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.compare.within_run import WithinRun
from pytest_sst2.report import comparison_text, results_table, within_run_text
from pytest_sst2.report.summary import EPOCH_HEADERS, Report, context_lines, epoch_rows, warning_lines
from pytest_sst2.utils.formatting import plural, truncate
from pytest_sst2.utils.sanitize import one_line

_SIGNS = {"good": "✅", "bad": "❌", "neutral": "⚪", "plain": "⚪"}
# With these limits fewer than 60 lines are visible before anything is unfolded.
_MOST_ROWS = 8
_MOST_FOLDED_ROWS = 5
_MOST_SEEDS = 40
_MOST_FINDINGS = 5
_MOST_COMMANDS = 2
# The order of the findings, by their first word: what fails a run, its causes, then further information.
_RANKS = (
    "ERROR",
    "no number",
    "failed seed",
    "incomparable",
    "undeclared",
    "missing",
    "declared",
    "drift",
    "to decide",
    "slower",
    "more-memory",
    "note",
    "warning",
    "faster",
)
# A comment on GitHub has at most 65,536 characters. The folded parts get what the visible parts leave.
_MOST_CHARACTERS = 60_000
# Limits of one line, and of one cell of a table.
_MOST_LINE_CHARACTERS, _MOST_CELL_CHARACTERS = 500, 100
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$]|&(?=#?\w+;))")
# Beginnings of a line that make it a heading, a list, a rule or an underline.
_LINE_START = re.compile(r"^([#+=-]|\d+(?=[.)]))")
# Text that GitHub turns into links or pictures: mentions, issue numbers, also of other repositories, addresses, emoji.
_LINKED = re.compile(
    r"(?<!\w)@(?=\w)|(?<=[\w.+-])@(?=[\w-]+\.)|#(?=\d)|(?i:gh)(?=-\d)|(?i:www)(?=\.)|/(?=/)|:(?=[a-z+][\w+\\-]*:)"
)


def markdown(report: Report) -> str:
    """Return the report as Markdown that fits into a comment, with fewer than 60 visible lines."""
    findings = _findings(report)
    visible = [_head(report), _within_run(report.within), _list(findings[:_MOST_FINDINGS], _MOST_FINDINGS)]
    rows = results_table.cell_rows(report.records, report.failures)
    tables = [
        "" if report.comparison is None else _folded("Results", _results_table(rows, _MOST_FOLDED_ROWS)),
        _folded("Every seed", _results_table(results_table.seed_rows(rows), _MOST_SEEDS)),
        _folded("Training, by epoch", _epochs(report)),
    ]
    commands = filter(None, (report.install, *report.commands[:_MOST_COMMANDS]))
    again = "\n\n".join(filter(None, (_line(report.remark), _code([*commands])))) if report.records else ""
    to_read = _folded("Changed code that ran", _list(report.to_read, len(report.to_read)))
    room = _MOST_CHARACTERS - sum(map(len, (*visible, *tables, to_read, again)))
    later = findings[_MOST_FINDINGS:]
    more = _as_many_as_fit(lambda most: _list(later, most), len(later), room // 2)
    more = _folded(plural(len(later), "more finding"), more)
    changes = comparison_text.environment_rows(report.comparison) if report.comparison is not None else []
    changed = _as_many_as_fit(
        lambda most: _table(("", "before", "after"), changes, (), most), len(changes), room - len(more)
    )
    folded = [
        more,
        to_read,
        *tables,
        _folded("What changed in the environment", changed),
        _folded("How to reproduce", again),
    ]
    return "\n\n".join(filter(None, (*visible, *folded))) + "\n"


def within_run_markdown(within: WithinRun) -> str:
    """Return the comparison of cells of one run as Markdown, without the run's own table."""
    return (
        "\n\n".join(filter(None, (_within_run(within), _list(within_run_text.findings(within), _MOST_FINDINGS)))) + "\n"
    )


def _head(report: Report) -> str:
    """Return the headline, what it means, and its table."""
    parts = [f"{_SIGNS[report.tone]} **{escaped(report.headline)}**", _line(report.advice)]
    if report.comparison is not None:
        parts += [_line(comparison_text.rule_line(report.comparison)), _comparison_table(report.comparison)]
    else:
        parts += [_line(context_lines(report.records[0])[0])] if report.records else []
        parts.append(_results_table(results_table.cell_rows(report.records, report.failures), _MOST_ROWS))
    return "\n\n".join(filter(None, parts))


def escaped(text: str, most: int = _MOST_LINE_CHARACTERS) -> str:
    """Return text as one line of Markdown without markup: no tag, link, code, emphasis or table cell."""
    line = truncate(" ".join(one_line(text).split()), most)
    return _LINKED.sub(r"\g<0><!-- -->", _SPECIAL.sub(r"\\\1", line))


def _line(text: str) -> str:
    """Return text as a line of its own that starts no block either."""
    return _LINE_START.sub(lambda match: f"\\{match[0]}" if not match[0].isdigit() else f"{match[0]}\\", escaped(text))


def _findings(report: Report) -> list[str]:
    """Return everything that is not in the tables, what explains the outcome first."""
    findings = [f"ERROR: {problem}" for problem in report.problems]
    findings += [f"no number: {failure.name}: {failure.error}" for failure in report.failures]
    # The note about the data comes first.
    findings += [f"note: {note}" for note in dict.fromkeys(record.dataset.note for record in report.records) if note]
    findings += report.notes
    if report.comparison is not None:
        findings += comparison_text.findings(report.comparison)
    if report.within is not None:
        findings += within_run_text.findings(report.within)
    return sorted([*findings, *warning_lines(report.records)], key=_rank)


def _rank(finding: str) -> int:
    word = finding.partition(":")[0]
    return _RANKS.index(word) if word in _RANKS else len(_RANKS)


def _list(lines: Sequence[str], most: int) -> str:
    return "\n".join([*(f"- {_line(line)}" for line in lines[:most]), *_and_more(len(lines) - most, "- ")])


def _as_many_as_fit(make: Callable[[int], str], number: int, room: int) -> str:
    """Return ``make(n)`` for the largest tried n of at most ``number`` whose text fits into ``room`` characters."""
    while number and len(text := make(number)) > room:
        number = number * 3 // 4
    return text if number else ""


def _comparison_table(comparison: Comparison) -> str:
    rows = [comparison_text.row(cell) for cell in comparison_text.ordered(comparison.cells)]
    return _table(comparison_text.HEADERS, rows, comparison_text.NUMERIC, _MOST_ROWS)


def _within_run(within: WithinRun | None) -> str:
    if within is None:
        return ""
    title = f"**{within_run_text.TITLE}: {escaped(within_run_text.headline(within))}**"
    rows = within_run_text.rows(within)
    table = _table(within_run_text.HEADERS, rows, within_run_text.NUMERIC, _MOST_ROWS)
    return "\n\n".join(filter(None, (title, _line(within_run_text.rule_line(within)), table)))


def _results_table(rows: Sequence[results_table.Row], most: int) -> str:
    # Failed rows come first, because a reviewer looks for them.
    texts = [row.texts for row in sorted(rows, key=lambda row: not row.is_bad)]
    return _table(results_table.HEADERS, texts, results_table.NUMERIC, most)


def _epochs(report: Report) -> str:
    return _table(EPOCH_HEADERS, epoch_rows(report.records), EPOCH_HEADERS[1:], _MOST_SEEDS)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], most: int) -> str:
    from tabulate import tabulate

    if not rows:
        return ""
    text: str = tabulate(
        [[escaped(cell, _MOST_CELL_CHARACTERS) for cell in row] for row in rows[:most]],
        headers=headers,
        tablefmt="github",
        colalign=["right" if header in right else "left" for header in headers],
        disable_numparse=True,
    )
    return "\n".join([text, *_and_more(len(rows) - most, "\n")])


def _and_more(number: int, start: str) -> list[str]:
    return [f"{start}… and {number} more"] if number > 0 else []


def _folded(title: str, body: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{body}\n\n</details>" if body else ""


def _code(commands: Sequence[str]) -> str:
    # A line break in a name would make the rest a second command.
    lines = [one_line(command) for command in commands]
    longest = max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *lines, fence])
