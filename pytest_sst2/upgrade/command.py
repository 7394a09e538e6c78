"""``pytest-sst2 upgrade``: what was typed, the check and what it found, step by step."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.utils import canonicalize_name

import pytest_sst2
from pytest_sst2.compare.comparison import CANNOT_COMPARE, HOLDS, Comparison, compare
from pytest_sst2.report.comparison_text import comparison_lines
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade import environments as kept_environments
from pytest_sst2.upgrade.ab_run import (
    Measured,
    Say,
    Sides,
    Upgrade,
    build_sides,
    finish,
    measure_sides,
    only_one,
    run_folder,
)
from pytest_sst2.upgrade.benchmark_runs import Plan, without_numbers
from pytest_sst2.upgrade.bisection import Bisection, blamed
from pytest_sst2.upgrade.environments import Environments, upgrade_folder
from pytest_sst2.upgrade.minimize import Release
from pytest_sst2.upgrade.pins import installed_pins, read_pins, read_requirements
from pytest_sst2.upgrade.runner_wheel import write_wheel
from pytest_sst2.upgrade.symptom import Symptom, symptom_of
from pytest_sst2.upgrade.uv import InstallError, find_uv
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.sanitize import one_line

_BUNDLED_BENCHMARKS = ("--pyargs", "pytest_sst2.benchmarks")


def run(asked: argparse.Namespace, tell: Say, width: int | None) -> tuple[str, int]:
    """Check an upgrade; return what was found and the exit status of ``compare``.

    Args:
        asked: The command line, parsed.
        tell: Told of every step.
        width: Columns of the terminal; None for no limit.

    Raises:
        Sst2Error: What was asked cannot be done, or one side cannot run.
    """

    def say(line: str) -> None:
        tell(one_line(line))

    if asked.clean:
        folder, size = kept_environments.clean()
        say(f"{folder}: removed, {size / 2**20:,.0f} MB")
    if not _asks_for_a_change(asked):
        if asked.clean:
            return "", HOLDS
        raise Sst2Error(
            "nothing to upgrade: name packages ('transformers==5.23.0'), or give --latest, --to FILE or "
            "--python VERSION."
        )
    _check(asked)
    uv = find_uv()
    upgrade, notes = _upgrade(asked)
    plan = _plan(asked)
    _check_benchmarks(plan)
    for note in notes:
        say(note)
    folder = upgrade_folder()
    built = Environments(folder / "environments", uv, write_wheel(folder / "wheels"))
    sides = build_sides(upgrade, built, say)
    if not sides.changes and sides.python == sides.python_after:
        return "nothing changes: both environments are the same, package by package", HOLDS
    say(
        f"{plural(len(sides.changes), 'package')} changed: {', '.join(map(str, sides.changes))}"
        if sides.changes
        else f"no package changes, the interpreter does: {sides.python_after}"
    )
    kept = run_folder(folder / "runs", sides, plan, asked.passes)
    with only_one(kept):
        measured = measure_sides(sides, plan, asked.passes, kept, say)
        return _Finding(asked, plan, built, sides, measured, say, width).told()


def _asks_for_a_change(asked: argparse.Namespace) -> bool:
    return bool(asked.requirements or asked.latest or asked.to or asked.python)


def _check(asked: argparse.Namespace) -> None:
    if asked.to and (asked.requirements or asked.latest):
        raise Sst2Error("--to names every version of the later environment: leave out --latest and single packages.")
    if asked.versions and not asked.bisect:
        raise Sst2Error("--versions looks for the first bad release of what --bisect finds: give both.")
    if asked.bisect and asked.python:
        raise Sst2Error("--bisect looks among packages: check --python by itself, then the packages under one Python.")
    if asked.output:
        from pytest_sst2.report.write import check_folder

        check_folder(asked.output, "-o")


def _upgrade(asked: argparse.Namespace) -> tuple[Upgrade, list[str]]:
    """Return what is asked for, and what is to be known of it."""
    notes = []
    if asked.base:
        base = read_pins(asked.base)
    else:
        base, local = installed_pins()
        if local:
            notes.append(
                f"note: {', '.join(local)} {'is' if len(local) == 1 else 'are'} installed from a folder or a "
                "repository, which no index has: left out unless something needs it"
            )
    return (
        Upgrade(
            base=base,
            requirements=tuple(read_requirements(asked.requirements)),
            target=read_pins(asked.to) if asked.to else None,
            latest=asked.latest,
            python=asked.python,
            also=tuple(map(str, read_requirements(asked.also))),
        ),
        notes,
    )


def _plan(asked: argparse.Namespace) -> Plan:
    here = Path.cwd()
    if asked.benchmarks:
        if not Path(asked.benchmarks.partition("::")[0]).exists():
            raise Sst2Error(f"--benchmarks {asked.benchmarks!r} is not there; it is a folder or file of benchmarks.")
        targets: tuple[str, ...] = (asked.benchmarks,)
    else:
        targets = ("benchmarks",) if (here / "benchmarks").is_dir() else _BUNDLED_BENCHMARKS
    return Plan(targets, tuple(asked.flags), here)


def _check_benchmarks(plan: Plan) -> None:
    """Have this environment collect the benchmarks, so that a name that is misspelt costs seconds.

    Raises:
        Sst2Error: pytest refuses the options, or finds nothing to run.
    """
    package = Path(pytest_sst2.__file__).parent
    # In a checkout they lie beside the package; the runner's wheel has them inside.
    in_checkout = plan.targets == _BUNDLED_BENCHMARKS and not (package / "benchmarks").is_dir()
    targets = (str(package.parent / "benchmarks"),) if in_checkout else plan.targets
    command = [sys.executable, "-P", "-m", "pytest", *targets, *plan.flags, "--collect-only", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=plan.folder, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return
    lines = [line.strip() for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    said = (errors or lines[-1:] or ["no reason given"])[0]
    raise Sst2Error(f"the benchmarks cannot be run as asked: {said}")


class _Finding:
    """What both sides measured, told: the comparison, then whose doing it is."""

    def __init__(
        self,
        asked: argparse.Namespace,
        plan: Plan,
        built: Environments,
        sides: Sides,
        measured: Measured,
        say: Say,
        width: int | None,
    ) -> None:
        self._asked = asked
        self._plan = plan
        self._built = built
        self._sides = sides
        self._measured = measured
        self._say = say
        self._width = width

    def told(self) -> tuple[str, int]:
        """Return the whole finding and the exit status."""
        lines, status, symptom = self._compared()
        if self._asked.bisect and symptom is None:
            lines += ["", "nothing to bisect: no cell crashed, regressed, drifted, or became slower or heavier"]
        if self._asked.bisect and symptom is not None:
            for line in [*lines, ""]:
                self._say(line)
            lines = self._blamed(symptom)
        finish(self._measured)
        return "\n".join(map(one_line, lines)), status

    def _compared(self) -> tuple[list[str], int, Symptom | None]:
        before, after = self._measured.before, self._measured.after
        if after is None:
            error = f"after cannot run: {self._measured.after_error}"
            return [f"FAILS: {error}"], CANNOT_COMPARE, Symptom("crash", None, self._measured.after_error, ())
        found = compare(before, after, tolerance=self._asked.tolerance, alpha=self._asked.alpha)
        lines = comparison_lines(found, self._asked.fail_on, self._width)
        if failed := without_numbers(before):
            lines.append(f"note: no number in the earlier environment either: {failed}")
        if self._asked.output:
            lines += ["", *map(str, self._report(before, after, found))]
        return lines, found.exit_status(self._asked.fail_on), symptom_of(before, after, found)

    def _report(self, before: Results, after: Results, found: Comparison) -> Sequence[Path]:
        from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
        from pytest_sst2.report.cells import cell_reports
        from pytest_sst2.report.summary import make_report
        from pytest_sst2.report.write import write_report

        data = next((flag.partition("=")[2] for flag in self._plan.flags if flag.startswith("--sst2-data=")), "")
        folder = Path(data) if data and Path(data).is_dir() else None
        cells = cell_reports(after, SentenceLookup(local_sources(folder)), before, found)
        return write_report(self._asked.output, make_report(after, found, self._asked.fail_on), cells)

    def _blamed(self, symptom: Symptom) -> list[str]:
        changes = {change.name: change for change in self._sides.changes}
        bisection = Bisection(
            sides=self._sides,
            symptom=symptom,
            environments=self._built,
            plan=self._plan,
            passes=self._asked.passes,
            tolerance=self._asked.tolerance,
            alpha=self._asked.alpha,
            folder=self._measured.folder / "bisect",
            say=self._say,
            asked_for=[canonicalize_name(each.name) for each in read_requirements(self._asked.requirements)],
        )
        self._say(f"bisecting {plural(len(changes), 'change')}: {symptom.kind} in {symptom.name}: {symptom.said}")
        if not bisection.is_repeatable():
            return [f"it was not seen again, so nothing is to blame: {symptom.kind} in {symptom.name} comes and goes"]
        culprits = bisection.culprits()
        blame = bisection.blame(culprits)
        lines = [blamed(changes, culprits, blame, symptom)]
        if self._asked.versions:
            try:
                release = bisection.first_bad(culprits)
            except InstallError as error:
                lines.append(f"its releases could not be asked for: {error}")
            else:
                lines.append(_first_bad(release, blame[0].names[0]))
        return [*lines, f"{plural(bisection.steps, 'set')} asked about between the two environments"]


def _first_bad(release: Release | None, name: str) -> str:
    if release is None:
        return "no single package, so no first bad release"
    untested = f"; could not be tested: {', '.join(release.untested)}" if release.untested else ""
    return (
        f"first bad release: {name} {release.first_bad}; the last good one that was tested is "
        f"{release.last_good}{untested}"
    )
