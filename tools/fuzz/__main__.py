"""Fuzz readers, one after the other, and print what was tried and what it took as a table in Markdown.

    python -m tools.fuzz                        # a sample of every reader: 500 inputs each
    python -m tools.fuzz --share 1              # the million of docs/reliability.md, hours on one core
    python -m tools.fuzz --share 0.1 tsv csv    # a tenth of that for two of them

Each reader is a process of its own, so that a crash in native code is told of it. It ends with the first input that
breaks a promise, and what was read then is ``broken`` in its folder. What ``--folder`` keeps is gone on from.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.fuzz.contract import SCRATCH_VARIABLE
from tools.fuzz.targets import all_targets

# What one input may take before the run is stopped, and what the process may take in all.
SECONDS_PER_INPUT = 10
MEMORY_MB = 1024
# Inputs of the large run. Where each is read, compared and written again, or goes through native code, there are fewer.
INPUTS: Mapping[str, int] = {
    **dict.fromkeys(("tsv", "csv", "json"), 130_000),
    "options": 400_000,
    "settings": 30_000,
    "results-text": 50_000,
    **dict.fromkeys(("results-1", "results-2", "results-2-packed", "results-3", "results-3-packed"), 1_500),
    "floors": 30_000,
    "cache": 80_000,
    "pins": 30_000,
    **dict.fromkeys(("parquet", "saved"), 12_000),
    **dict.fromkeys(("model-config", "model-modules", "model-index", "model-tokenizer", "model-settings"), 2_500),
    "safetensors": 12_000,
}
_STATISTIC = re.compile(r"^stat::(\w+):\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Fuzzed:
    """What one reader was given, and what it took: seconds of the slowest input, memory of the process."""

    name: str
    inputs: int
    slowest_seconds: int
    peak_mb: int
    broke: bool


def fuzz(name: str, inputs: int, folder: Path) -> Fuzzed:
    """Fuzz one reader and return what came of it; libFuzzer's own words are in ``log`` in its folder."""
    place = folder / name
    place.mkdir(parents=True, exist_ok=True)
    limits = (f"-runs={inputs}", f"-timeout={SECONDS_PER_INPUT}", f"-rss_limit_mb={MEMORY_MB}")
    command = (sys.executable, "-m", "tools.fuzz.one", name, str(place), *limits)
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a folder of its own is made in it
    with (
        (place / "log").open("w", encoding="utf-8") as log,
        tempfile.TemporaryDirectory(prefix="sst2-fuzz-", dir=memory) as scratch,
    ):
        environment = {**os.environ, SCRATCH_VARIABLE: scratch}
        status = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, env=environment, check=False).returncode
    said = dict(_STATISTIC.findall((place / "log").read_text(encoding="utf-8", errors="replace")))
    return Fuzzed(
        name,
        int(said.get("number_of_executed_units", 0)),
        int(said.get("slowest_unit_time_sec", 0)),
        int(said.get("peak_rss_mb", 0)),
        status != 0,
    )


def table(rows: Sequence[Fuzzed]) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| reader | inputs | slowest, s | memory, MB |", "| --- | ---: | ---: | ---: |"]
    lines += [f"| {row.name} | {row.inputs:,} | {row.slowest_seconds} | {row.peak_mb} |" for row in rows]
    return "\n".join([*lines, f"| all | {sum(row.inputs for row in rows):,} | | |"])


def main(arguments: Sequence[str]) -> int:
    """Fuzz the readers that were named, all without a name, and return 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Fuzz every reader of the package.")
    parser.add_argument("targets", nargs="*", metavar="READER", help=f"some of {', '.join(all_targets())}")
    parser.add_argument("--share", type=float, help="of the large run's inputs; without it, 500 inputs each")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="where inputs and logs are kept")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.targets) - all_targets().keys():
        parser.error(f"no reader {min(unknown)!r}; there are {', '.join(all_targets())}")
    rows = []
    for name in asked.targets or all_targets():
        inputs = 500 if asked.share is None else max(1, round(asked.share * INPUTS[name]))
        rows.append(fuzz(name, inputs, asked.folder))
        print(f"{name}: {rows[-1].inputs:,} inputs", file=sys.stderr, flush=True)
        if rows[-1].broke:
            print(f"{name} BROKE; see {asked.folder / name / 'log'}", file=sys.stderr, flush=True)
    print(table(rows))
    return 1 if any(row.broke for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
