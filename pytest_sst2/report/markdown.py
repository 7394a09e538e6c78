"""Markdown for a pull request and for a job's summary: the verdict first, what explains it next, the rest folded."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pytest_sst2.compare.comparison import Comparison
from pytest_sst2.report import comparison_text as compared
from pytest_sst2.report import results_table as table
from pytest_sst2.report.summary import Report
from pytest_sst2.report.terminal import context_lines, warning_lines
from pytest_sst2.utils.formatting import plural, truncate
from pytest_sst2.utils.sanitize import one_line

_SIGNS = {"good": "✅", "bad": "❌", "unclear": "⚠️"}
# With these less than 60 lines are to be seen before anything is unfolded.
_MOST_ROWS = 8
_MOST_FOLDED_ROWS = 5
_MOST_FINDINGS = 5
_MOST_COMMANDS = 2
# What comes first in the list of findings, by its first word: what fails a run, its causes, then what is good to know.
_RANKS = (
    "ERROR",
    "no number",
    "incomparable",
    "missing",
    "drift",
    "slower",
    "more-memory",
    "note",
    "warning",
    "faster",
)
# A comment on GitHub has room for 65,536 characters in all. What is folded has what the rest leaves of these.
_MOST_CHARACTERS = 60_000
# Of one line, and of one cell of a table.
_MOST_OF_LINE, _MOST_OF_CELL = 500, 100
_SPECIAL = re.compile(r"([\\`*_\[\]<>|~$]|&(?=#?\w+;))")
# What would make a heading, a list, a rule or an underline of a line that begins so.
_LINE_START = re.compile(r"^([#+=-]|\d+(?=[.)]))")
# What GitHub makes a link or a picture of without being asked: mentions, numbers of issues, also of other repositories,
# addresses, emoji.
_LINKED = re.compile(
    r"(?<!\w)@(?=\w)|(?<=[\w.+-])@(?=[\w-]+\.)|#(?=\d)|(?i:gh)(?=-\d)|(?i:www)(?=\.)|/(?=/)|:(?=[a-z+][\w+\\-]*:)"
)


def markdown(report: Report) -> str:
    """Return the report as Markdown that fits into a comment, with less than 60 lines to be seen at once."""
    findings = _findings(report)
    shown = [_head(report), _list(findings[:_MOST_FINDINGS])]
    results = "" if report.comparison is None else _folded("Results", _results_table(report, _MOST_FOLDED_ROWS))
    commands = filter(None, (report.install, report.remark, *report.commands[:_MOST_COMMANDS]))
    again = _code([*commands]) if report.records else ""
    room = _MOST_CHARACTERS - sum(map(len, (*shown, results, again)))
    more = _more_findings(findings[_MOST_FINDINGS:], room // 2)
    changed = _environment(report.comparison, room - len(more)) if report.comparison is not None else ""
    folded = [more, results, _folded("What changed in the environment", changed), _folded("How to reproduce", again)]
    return "\n\n".join(filter(None, (*shown, *folded))) + "\n"


def _head(report: Report) -> str:
    """Return the verdict, and the table that it is about."""
    parts = [f"{_SIGNS[report.standing]} **{escaped(report.verdict)}**"]
    if report.comparison is not None:
        parts += [_line(compared.headline(report.comparison)), _comparison_table(report.comparison)]
    else:
        parts += [_line(context_lines(report.records[0])[0])] if report.records else []
        parts.append(_results_table(report, _MOST_ROWS))
    return "\n\n".join(filter(None, parts))


def escaped(text: str, most: int = _MOST_OF_LINE) -> str:
    """Return text as Markdown that shows it as it is: it starts no tag, link, code, emphasis or cell, and no line."""
    shown = truncate(" ".join(one_line(text).split()), most)
    return _LINKED.sub(r"\g<0><!-- -->", _SPECIAL.sub(r"\\\1", shown))


def _line(text: str) -> str:
    """Return text as a line of its own, in which it starts no block either."""
    return _LINE_START.sub(lambda found: f"\\{found[0]}" if not found[0].isdigit() else f"{found[0]}\\", escaped(text))


def _findings(report: Report) -> list[str]:
    """Return all that is said beside the tables, what explains the verdict first."""
    found = [f"ERROR: {problem}" for problem in report.problems]
    found += [f"no number: {failure.cell}: {failure.error}" for failure in report.failures]
    # What the numbers are of is the first of the notes.
    found += [f"note: {note}" for note in dict.fromkeys(record.dataset.note for record in report.records) if note]
    found += report.notes
    if report.comparison is not None:
        found += compared.findings(report.comparison)
    return sorted([*found, *warning_lines(report.records)], key=_rank)


def _rank(finding: str) -> int:
    word = finding.partition(":")[0]
    return _RANKS.index(word) if word in _RANKS else len(_RANKS)


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_line(line)}" for line in lines)


def _more_findings(lines: Sequence[str], room: int) -> str:
    """Return the findings that are not shown at once, as many of them as there is room for."""
    return _folded(
        plural(len(lines), "more finding"), _as_many_as_fit(lambda most: _cut_list(lines, most), len(lines), room)
    )


def _cut_list(lines: Sequence[str], most: int) -> str:
    return "\n".join([_list(lines[:most]), *_and_more(len(lines) - most, "- ")])


def _as_many_as_fit(make: Callable[[int], str], number: int, room: int) -> str:
    """Return what ``make`` makes of the first of ``number`` things, of as many as fit into ``room`` characters."""
    while number and len(made := make(number)) > room:
        number = number * 3 // 4
    return made if number else ""


def _comparison_table(comparison: Comparison) -> str:
    rank = {"regressed": 0, "incomparable": 1, "unchanged": 3, "improved": 2}
    cells = sorted(comparison.cells, key=lambda cell: (rank[cell.verdict], not cell.flags))
    return _table(compared.HEADERS, [compared.row(cell) for cell in cells], compared.NUMERIC, _MOST_ROWS)


def _results_table(report: Report, most: int) -> str:
    rows = table.rows(report.records, report.failures)
    # What failed comes first: a reviewer reads it there.
    rows.sort(key=lambda row: row.cells[-1] not in (table.FAILED, table.BELOW_FLOOR))
    return _table(table.HEADERS, [row.cells for row in rows], table.NUMERIC, most) if rows else ""


def _environment(comparison: Comparison, room: int) -> str:
    rows = compared.environment_rows(comparison)
    return _as_many_as_fit(lambda most: _table(("", "before", "after"), rows, (), most), len(rows), room)


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[str], most: int) -> str:
    from tabulate import tabulate

    if not rows:
        return ""
    text: str = tabulate(
        [[escaped(cell, _MOST_OF_CELL) for cell in row] for row in rows[:most]],
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
    # A line end in a name would make a second command of the rest.
    lines = [one_line(each) for each in commands]
    longest = max((len(ticks) for line in lines for ticks in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}sh", *lines, fence])
