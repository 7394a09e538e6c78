"""Render a comparison as text for a terminal and as JSON; hold the rows and sentences that other renderers share."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict

from pytest_sst2.compare.cell_times import PhaseTimeChange, Speed
from pytest_sst2.compare.comparison import FAILS, CellComparison, Comparison
from pytest_sst2.compare.run_outcome import comparison_outcome
from pytest_sst2.compare.speed_and_memory import SpeedAndMemoryChange
from pytest_sst2.report.text_table import NONE, fit_table, left_out_line
from pytest_sst2.utils.formatting import plural, relative_margin, signed_points
from pytest_sst2.utils.redact import redacted
from pytest_sst2.utils.sanitize import one_line, plain_json

HEADERS = (
    "cell",
    "seeds",
    "verdict",
    "before",
    "after",
    "Δ points",
    "at worst",
    "time",
    "peak MB",
)
NUMERIC = ("before", "after", "Δ points", "at worst")
# Columns that a narrow terminal leaves out first.
_LEFT_OUT_FIRST = ("peak MB", "seeds", "time", "before", "after")
# The verdicts and flags that are counted, in this order.
_COUNTED = (
    *("regressed", "undecided", "incomparable", "improved", "held", "identical"),
    *("slower", "more-memory", "drifted"),
)


def comparison_lines(comparison: Comparison, fail_on: Collection[str], width: int | None = None) -> list[str]:
    """Return the whole comparison as lines for a terminal of ``width`` columns (None: no limit), its headline first."""
    sections = [[comparison_headline(comparison, fail_on), rule_line(comparison)]]
    if comparison.cells:
        text, left_out = fit_table(
            HEADERS,
            [row(cell) for cell in comparison.cells],
            width=width,
            left_out_first=_LEFT_OUT_FIRST,
            right=NUMERIC,
            truncated="cell",
        )
        sections.append((text + left_out_line(left_out, width)).split("\n"))
    sections.append(findings(comparison))
    if comparison.environment:
        changes, _ = fit_table(("", "before", "after"), environment_rows(comparison), width=width, truncated="")
        sections.append(["what changed in the environment:", *changes.split("\n")])
    if comparison.exit_status(fail_on) == FAILS:
        sections.append(["To accept the later results as the new baseline, run with --sst2-save NAME --sst2-overwrite"])
    return "\n\n".join("\n".join(map(one_line, section)) for section in sections if section).split("\n")


def comparison_json(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the comparison as JSON: every number, the flags of each cell, and the exit status."""
    values = asdict(comparison)
    for fields, cell in zip(values["cells"], comparison.cells, strict=True):
        fields["name"] = cell.name
        fields["flags"] = sorted(cell.flags)
    values["fail_on"] = sorted(fail_on)
    values["exit_status"] = comparison.exit_status(fail_on)
    values["outcome"] = comparison_headline(comparison, fail_on)
    return plain_json(json.dumps(redacted(values), ensure_ascii=False, indent=1)) + "\n"


def comparison_headline(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the outcome of the comparison in one sentence."""
    return f"{comparison_outcome(comparison, fail_on)}: {counts_sentence(comparison)}"


def counts_sentence(comparison: Comparison) -> str:
    """Return how many cells have which flag, and how many cells and seeds of the baseline were not run."""
    if not comparison.cells:
        return "the two have no cell in common"
    total = len(comparison.cells)
    counts = {word: sum(word in {cell.verdict, *cell.flags} for cell in comparison.cells) for word in _COUNTED}
    text = ", ".join(f"{count} of {total} {word}" for word, count in counts.items() if count)
    seeds = sum(map(len, comparison.seeds_only_before.values()))
    for missing, noun in ((len(comparison.only_before), "cell"), (seeds, "seed")):
        if missing:
            text += f"; {plural(missing, noun)} of the baseline {'was' if missing == 1 else 'were'} not run"
    return text


def rule_line(comparison: Comparison) -> str:
    """Return what is compared with what, and when a cell is called regressed."""
    saved = f" (saved {comparison.saved})" if comparison.saved else ""
    return (
        f"{comparison.before}{saved} → {comparison.after}; held means shown to have lost no more "
        f"than {100 * comparison.tolerance:g} points, at {100 * (1 - comparison.alpha):g} % confidence"
    )


def findings(comparison: Comparison) -> list[str]:
    """Return what does not fit into the table: each distinct sentence once, with the cells it is about."""

    def by_sentence(word: str, sentences: Callable[[CellComparison], Iterable[str]]) -> list[str]:
        return once_each(word, [(cell.name, sentences(cell)) for cell in comparison.cells])

    lines = []
    if comparison.only_before:
        lines.append(f"missing: not measured this time: {', '.join(comparison.only_before)}")
    lines += by_sentence("missing", lambda cell: _missing_seeds(comparison, cell))
    lines += by_sentence("incomparable", lambda cell: cell.reasons)
    lines += by_sentence("regressed", lambda cell: (failed.sentence for failed in cell.failed_seeds))
    lines += by_sentence("declared", lambda cell: (str(cause) for cause in cell.causes if cause.is_declared))
    lines += by_sentence("drift", lambda cell: (str(cause) for cause in cell.causes if not cause.is_note))
    lines += by_sentence("undecided", lambda cell: filter(None, (cell.would_decide,)))
    lines += by_sentence("slower", lambda cell: _changed_phases(cell.speed_and_memory, "slower"))
    lines += by_sentence("more-memory", _more_memory)
    lines += by_sentence("faster", lambda cell: _changed_phases(cell.speed_and_memory, "faster"))
    lines += by_sentence(
        "note",
        lambda cell: (
            *cell.notes,
            *(str(cause) for cause in cell.causes if cause.is_note and not cause.is_declared),
            *(cell.speed_and_memory.notes if cell.speed_and_memory else ()),
        ),
    )
    if comparison.to_declare:
        lines.append(f"undeclared: if that changed on purpose, compare across it: {comparison.to_declare}")
    if comparison.only_after:
        lines.append(f"note: nothing to compare with for {', '.join(comparison.only_after)}")
    return lines


def once_each(word: str, cells: Sequence[tuple[str, Iterable[str]]]) -> list[str]:
    """Return each distinct sentence of some cells (names and sentences) once, with a first word and their names."""
    names: dict[str, list[str]] = {}
    for name, sentences in cells:
        for sentence in sentences:
            names.setdefault(sentence, []).append(name)
    return [
        f"{word}: {sentence} ({'all cells' if len(of_sentence) == len(cells) > 1 else ', '.join(of_sentence)})"
        for sentence, of_sentence in names.items()
    ]


def _missing_seeds(comparison: Comparison, cell: CellComparison) -> Iterable[str]:
    if seeds := comparison.seeds_only_before.get(cell.name, ()):
        yield f"not measured this time: {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _changed_phases(change: SpeedAndMemoryChange | None, speed: Speed) -> Iterable[str]:
    for phase in change.times if change else ():
        if phase.speed == speed:
            name = "all phases together" if phase.name == "all" else phase.name
            yield (
                f"{name} {_ratio(phase)} what it was ({_seconds(phase.before_seconds)} → "
                f"{_seconds(phase.after_seconds)}; noise {relative_margin(phase.margin)})"
            )


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _ratio(change: PhaseTimeChange) -> str:
    return f"{change.ratio:.3g} ×" if change.ratio >= 10 else f"{change.ratio:.2f} ×"


def _more_memory(cell: CellComparison) -> Iterable[str]:
    memory = cell.speed_and_memory.memory if cell.speed_and_memory else None
    if memory and memory.is_more:
        yield (
            f"peak memory {memory.ratio:.2f} × what it was ({memory.before_bytes / 2**20:,.0f} MB → "
            f"{memory.after_bytes / 2**20:,.0f} MB)"
        )


def environment_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return a row for each difference in the environment: name, before, after."""
    return [(change.name, change.before or NONE, change.after or NONE) for change in comparison.environment]


def row(cell: CellComparison) -> tuple[str, ...]:
    """Return one row of the table: the texts under ``HEADERS``."""
    seeds = ",".join(map(str, cell.seeds)) if len(cell.seeds) <= 3 else f"{len(cell.seeds)} seeds"
    verdict = cell.verdict.upper() if cell.verdict in ("regressed", "incomparable") else cell.verdict
    change = cell.accuracy
    if change is None:
        return (cell.name, seeds, verdict, *[NONE] * (len(HEADERS) - 3))
    return (
        cell.name,
        seeds,
        verdict,
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        signed_points(change.delta),
        signed_points(change.at_worst),
        _time(cell.speed_and_memory),
        _peak(cell.speed_and_memory),
    )


def _time(change: SpeedAndMemoryChange | None) -> str:
    overall = change.overall if change else None
    if overall is None:
        return NONE
    # Above 100 % a percentage would reach below zero; a factor holds in both directions.
    fold = min(1 + overall.margin, 10)
    noise = f"{100 * overall.margin:.0f} %" if overall.margin <= 1 else f"{fold:.1f}-fold"
    return f"{_ratio(overall)} ±{noise}, {overall.speed}"


def _peak(change: SpeedAndMemoryChange | None) -> str:
    if change is None or change.memory is None:
        return NONE
    return f"{change.memory.before_bytes / 2**20:,.0f} → {change.memory.after_bytes / 2**20:,.0f}"
