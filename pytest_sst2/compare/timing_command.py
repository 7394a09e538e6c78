"""Name the command that times both sides of a comparison again, by turns on one machine."""

from __future__ import annotations

import shlex

from pytest_sst2.compare.cell_times import SPEED_TOLERANCE
from pytest_sst2.results.file import Results
from pytest_sst2.results.record import Environment
from pytest_sst2.utils.extras import DISTRIBUTION, INSTALLERS


def timing_command(before: Results, after: Results) -> str:
    """Return the command, without the options of the benchmarks; empty if it would time the same thing twice.

    Saved results record their packages and their commit, so ``pytest-sst2 upgrade`` can build both sides of whatever
    differs.
    """
    if not (before.saved and before.records and after.records):
        return ""
    one, other = before.records[0], after.records[0]
    sides = []
    if _packages(one.environment) != _packages(other.environment):
        sides += ["--from", before.origin, *(["--to", after.origin] if after.saved else [])]
    if one.commit and other.commit and one.commit.sha != other.commit.sha:
        sides += ["--from-ref", one.commit.sha[:9], *(["--to-ref", other.commit.sha[:9]] if after.saved else [])]
    if not sides:
        return ""
    return f"pytest-sst2 upgrade {shlex.join(sides)} --time {100 * SPEED_TOLERANCE:g}%"


def _packages(environment: Environment) -> dict[str, str]:
    return {name: version for name, version in environment.packages.items() if name not in (DISTRIBUTION, *INSTALLERS)}
