"""A comparison as text for a terminal, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict

from pytest_sst2.compare.comparison import CANNOT_COMPARE, FAILS, HOLDS, CellComparison, Comparison
from pytest_sst2.compare.speed_and_memory import CostChange
from pytest_sst2.report.text_table import fitted, left_out_line
from pytest_sst2.utils.formatting import p_value, plural, relative_margin, signed_points
from pytest_sst2.utils.redact import redacted
from pytest_sst2.utils.sanitize import one_line, plain_json

HEADERS = (
    "cell",
    "seeds",
    "verdict",
    "before",
    "after",
    "Δ points",
    "95 % interval",
    "p (Holm)",
    "could detect",
    "time",
    "peak MB",
)
NUMERIC = ("before", "after", "Δ points", "p (Holm)", "could detect")
# What goes first where the terminal is narrow.
_LEFT_OUT_FIRST = ("peak MB", "could detect", "seeds", "time", "before", "p (Holm)", "95 % interval", "after")
_NONE = "–"
# What a cell's flags are called when cells are counted.
_COUNTED = ("regressed", "improved", "incomparable", "slower", "more-memory", "drifted")


def comparison_lines(comparison: Comparison, fail_on: Collection[str], width: int | None = None) -> list[str]:
    """Return the whole comparison as lines for a terminal, its outcome first.

    Args:
        comparison: What was found.
        fail_on: What fails it.
        width: Columns of the terminal; None for no limit.
    """
    sections = [[outcome(comparison, fail_on), headline(comparison)]]
    if comparison.cells:
        text, left_out = fitted(
            HEADERS,
            rows(comparison),
            width=width,
            left_out_first=_LEFT_OUT_FIRST,
            right=NUMERIC,
            shortened="cell",
        )
        sections.append((text + left_out_line(left_out, width)).split("\n"))
    sections.append(findings(comparison))
    if comparison.environment:
        changes, _ = fitted(("", "before", "after"), environment_rows(comparison), width=width, shortened="")
        sections.append(["what changed in the environment:", *changes.split("\n")])
    if comparison.exit_status(fail_on) == FAILS:
        sections.append(["To take the later results for the new baseline: --sst2-save NAME --sst2-overwrite"])
    return "\n\n".join("\n".join(map(one_line, section)) for section in sections if section).split("\n")


def comparison_json(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the comparison as JSON: every number, the flags of each cell, and the exit status."""
    plain = asdict(comparison)
    for cell, found in zip(plain["cells"], comparison.cells, strict=True):
        cell["name"] = found.name
        cell["flags"] = sorted(found.flags)
    plain["fail_on"] = sorted(fail_on)
    plain["exit_status"] = comparison.exit_status(fail_on)
    plain["outcome"] = outcome(comparison, fail_on)
    return plain_json(json.dumps(redacted(plain), ensure_ascii=False, indent=1)) + "\n"


def headline(comparison: Comparison) -> str:
    """Return what is compared with what, and by which rule."""
    saved = f" (saved {comparison.saved})" if comparison.saved else ""
    return (
        f"{comparison.before}{saved} → {comparison.after}; regressed means more than "
        f"{100 * comparison.tolerance:g} points lost and p ≤ {comparison.alpha:g} after Holm's correction"
    )


def outcome(comparison: Comparison, fail_on: Collection[str]) -> str:
    """Return the verdict on the whole in one sentence."""
    if not comparison.cells:
        return "CANNOT COMPARE: the two have no cell in common"
    total = len(comparison.cells)
    counts = {word: _counted(comparison, word) for word in _COUNTED}
    said = ", ".join(f"{count} of {total} {word}" for word, count in counts.items() if count)
    said = said or f"{total} of {total} unchanged"
    seeds = sum(map(len, comparison.seeds_only_before.values()))
    for missing, noun in ((len(comparison.only_before), "cell"), (seeds, "seed")):
        if missing:
            said += f"; {plural(missing, noun)} of the baseline {'was' if missing == 1 else 'were'} not run"
    status = comparison.exit_status(fail_on)
    head = "HOLDS" if status == HOLDS else "CANNOT COMPARE" if status == CANNOT_COMPARE else "FAILS"
    return f"{head}: {said}"


def _counted(comparison: Comparison, word: str) -> int:
    if word == "improved":
        return sum(cell.verdict == "improved" for cell in comparison.cells)
    return len(comparison.flagged(word))


def findings(comparison: Comparison) -> list[str]:
    """Return what the table has no room for, each sentence once with the cells it is about."""
    cells = comparison.cells
    lines = []
    if comparison.only_before:
        lines.append(f"missing: not measured this time: {', '.join(comparison.only_before)}")
    lines += _told(cells, "missing", lambda cell: _left_out(comparison.seeds_only_before.get(cell.name, ())))
    lines += _told(cells, "incomparable", lambda cell: cell.reasons)
    lines += _told(cells, "drift", lambda cell: cell.causes)
    lines += _told(cells, "slower", lambda cell: _changed_phases(cell.costs, "slower"))
    lines += _told(cells, "more-memory", lambda cell: _memory(cell.costs) if "more-memory" in cell.flags else ())
    lines += _told(cells, "faster", lambda cell: _changed_phases(cell.costs, "faster"))
    lines += _told(cells, "note", lambda cell: (*cell.notes, *(cell.costs.notes if cell.costs else ())))
    if comparison.only_after:
        lines.append(f"note: nothing to compare with for {', '.join(comparison.only_after)}")
    return lines


def _told(
    cells: Sequence[CellComparison], word: str, sentences: Callable[[CellComparison], Iterable[str]]
) -> list[str]:
    said: dict[str, list[str]] = {}
    for cell in cells:
        for sentence in sentences(cell):
            said.setdefault(sentence, []).append(cell.name)
    return [
        f"{word}: {sentence} ({'all cells' if len(names) == len(cells) > 1 else ', '.join(names)})"
        for sentence, names in said.items()
    ]


def _left_out(seeds: Sequence[int]) -> Iterable[str]:
    if seeds:
        yield f"not measured this time: {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}"


def _changed_phases(costs: CostChange | None, verdict: str) -> Iterable[str]:
    for phase in costs.phases if costs else ():
        if phase.verdict == verdict:
            name = "all phases together" if phase.name == "all" else phase.name
            yield (
                f"{name} {phase.ratio:.2f} × what it was in units of the machine's speed ({phase.before_seconds:.2f} s "
                f"→ {phase.after_seconds:.2f} s; noise {relative_margin(phase.margin)})"
            )


def _memory(costs: CostChange | None) -> Iterable[str]:
    if costs and costs.memory:
        memory = costs.memory
        yield (
            f"peak memory {memory.ratio:.2f} × what it was ({memory.before_bytes / 2**20:,.0f} MB → "
            f"{memory.after_bytes / 2**20:,.0f} MB)"
        )


def environment_rows(comparison: Comparison) -> list[tuple[str, str, str]]:
    """Return what differs in the environment: its name, before, after."""
    return [(change.name, change.before or _NONE, change.after or _NONE) for change in comparison.environment]


def rows(comparison: Comparison) -> list[tuple[str, ...]]:
    """Return the table of a comparison, a row a cell."""
    return [row(cell) for cell in comparison.cells]


def row(cell: CellComparison) -> tuple[str, ...]:
    """Return one row of the table: the texts under ``HEADERS``."""
    seeds = ",".join(map(str, cell.seeds)) if len(cell.seeds) <= 3 else f"{len(cell.seeds)} seeds"
    verdict = cell.verdict.upper() if cell.verdict in ("regressed", "incomparable") else cell.verdict
    change = cell.accuracy
    if change is None:
        return (cell.name, seeds, verdict, *[_NONE] * (len(HEADERS) - 3))
    low, high = change.interval
    return (
        cell.name,
        seeds,
        verdict,
        f"{change.before:.4f}",
        f"{change.after:.4f}",
        signed_points(change.delta),
        f"{signed_points(low)} to {signed_points(high)}",
        _NONE if cell.adjusted_p is None else p_value(cell.adjusted_p),
        signed_points(-cell.detectable, digits=1) if cell.detectable is not None else "no drop",
        _time(cell.costs),
        _peak(cell.costs),
    )


def _time(costs: CostChange | None) -> str:
    overall = costs.overall if costs else None
    if overall is None:
        return _NONE
    # Beyond a hundred percent a ratio could as well be next to nothing: a factor says how far both ways it is open.
    open_by = f"{100 * overall.margin:.0f} %" if overall.margin <= 1 else f"{1 + overall.margin:.1f}-fold"
    return f"{overall.ratio:.2f} × ±{open_by}"


def _peak(costs: CostChange | None) -> str:
    if costs is None or costs.memory is None:
        return _NONE
    return f"{costs.memory.before_bytes / 2**20:,.0f} → {costs.memory.after_bytes / 2**20:,.0f}"
