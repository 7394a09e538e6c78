"""Run ``pytest-sst2 upgrade``: check the arguments, run the benchmarks in both environments, report, bisect."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.utils import canonicalize_name

import pytest_sst2
from pytest_sst2.compare.comparison import CANNOT_COMPARE, HOLDS, Comparison, compare
from pytest_sst2.report.comparison_text import comparison_lines
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.ab_run import (
    Measurements,
    Notify,
    Sides,
    UpgradeRequest,
    build_sides,
    exclusive_run,
    measure_sides,
    run_folder,
)
from pytest_sst2.upgrade.auto_seeds import measure_until_decided
from pytest_sst2.upgrade.benchmark_runs import Plan, failure_summary
from pytest_sst2.upgrade.bisection import Bisection
from pytest_sst2.upgrade.command_check import CommandCheck
from pytest_sst2.upgrade.environments import Environments, create_upgrade_folder, remove_kept
from pytest_sst2.upgrade.lock_files import read_lock_file
from pytest_sst2.upgrade.minimize import Outcome
from pytest_sst2.upgrade.package_search import cause_sentence, release_sentence
from pytest_sst2.upgrade.pins import Pins, installed_pins, read_requirements
from pytest_sst2.upgrade.reading_list import READING_LIST, reading_list
from pytest_sst2.upgrade.runner_wheel import write_wheel
from pytest_sst2.upgrade.symptom import Symptom, worst_symptom
from pytest_sst2.upgrade.uv import find_uv
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.sanitize import one_line

# Passes in each environment. With --sst2-seeds auto it is one, because further seeds are further passes.
_PASSES = 2
_BUNDLED_BENCHMARKS = ("--pyargs", "pytest_sst2.benchmarks")


def run(options: argparse.Namespace, notify: Notify, width: int | None) -> tuple[str, int]:
    """Check an upgrade; return the finding and the exit status of ``pytest-sst2 compare``.

    ``width`` is the number of columns of the terminal; None for no limit.

    Raises:
        Sst2Error: The arguments are invalid, uv is not installed, or an environment cannot be used.
    """

    def notify_line(line: str) -> None:
        notify(one_line(line))

    if options.clean:
        folder, size = remove_kept()
        notify_line(f"{folder}: removed, {size / 2**20:,.0f} MB")
    if not (options.requirements or options.latest or options.to or options.python):
        if options.clean:
            return "", HOLDS
        raise Sst2Error(
            "nothing to upgrade. Name packages ('transformers==5.23.0'), or give --latest, --to FILE or "
            "--python VERSION."
        )
    _check_options(options)
    uv = find_uv()
    upgrade = _upgrade_request(options, notify_line)
    if not options.command:
        plan = _plan(options)
        _check_benchmarks(plan)
    folder = create_upgrade_folder()
    # A command of one's own needs nothing of this package.
    wheel = None if options.command else write_wheel(folder / "wheels")
    environments = Environments(folder / "environments", uv, wheel)
    sides = build_sides(upgrade, environments, notify_line)
    if not sides.changes and sides.python == sides.python_after:
        return "nothing changes: both environments have the same packages", HOLDS
    notify_line(
        f"{plural(len(sides.changes), 'package')} changed: {', '.join(map(str, sides.changes))}"
        if sides.changes
        else f"only the interpreter changes: {sides.python_after}"
    )
    if options.command:
        named = [canonicalize_name(requirement.name) for requirement in upgrade.requirements]
        check = CommandCheck(sides, environments, notify_line, options.bisect, options.bisect_releases, named)
        return check.run(options.command, folder / "runs")
    if options.passes is None:
        options.passes = 1 if plan.has_auto_seeds else _PASSES
    kept = run_folder(folder / "runs", sides, plan, options.passes)
    with exclusive_run(kept):
        measurements = _measure(options, sides, plan, kept, notify_line)
        return _Finding(options, plan, environments, sides, measurements, notify_line, width).report()


def _measure(options: argparse.Namespace, sides: Sides, plan: Plan, folder: Path, notify: Notify) -> Measurements:
    if not plan.has_auto_seeds:
        return measure_sides(sides, plan, options.passes, folder, notify)
    limits = {"tolerance": options.tolerance, "alpha": options.alpha}
    return measure_until_decided(sides, plan, options.passes, folder, notify, **limits)


def _check_options(options: argparse.Namespace) -> None:
    if options.to and (options.requirements or options.latest):
        raise Sst2Error(
            "--to FILE gives every version of the later environment. Leave out --latest and single packages."
        )
    if options.command and (options.flags or options.benchmarks or options.passes or options.output):
        raise Sst2Error(
            "a command after -- takes the place of the benchmarks. Leave out their options, --benchmarks, --passes "
            "and -o."
        )
    if options.bisect_releases and not options.bisect:
        raise Sst2Error("--bisect-releases needs --bisect, which finds the package whose releases it searches.")
    if options.bisect and options.python:
        raise Sst2Error(
            "--bisect searches packages, not interpreters. Check --python alone first, then the packages without it."
        )
    if options.output:
        from pytest_sst2.report.write import check_folder

        check_folder(options.output, "-o")


def _upgrade_request(options: argparse.Namespace, notify: Notify) -> UpgradeRequest:
    """Return the requested packages; a note names those that are left out."""
    if options.base:
        base = _read(options.base, notify)
    else:
        base, local = installed_pins()
        if local:
            notify(
                "note: an index does not have what is installed from a folder or a repository. Left out, unless a "
                f"package needs it: {', '.join(local)}."
            )
    return UpgradeRequest(
        base=base,
        requirements=tuple(read_requirements(options.requirements)),
        target=_read(options.to, notify) if options.to else None,
        latest=options.latest,
        python=options.python,
        extra_requirements=tuple(map(str, read_requirements(options.extra_requirements))),
        everything=bool(options.command),
    )


def _read(path: Path, notify: Notify) -> Pins:
    """Return the pins of a lock file; a note names the packages that have no version on an index."""
    lock = read_lock_file(path)
    if lock.left_out:
        notify(
            f"note: {path} takes these from a folder, a repository or an address. Left out: {', '.join(lock.left_out)}."
        )
    return lock.pins


def _plan(options: argparse.Namespace) -> Plan:
    here = Path.cwd()
    if options.benchmarks:
        if not Path(options.benchmarks.partition("::")[0]).exists():
            raise Sst2Error(
                f"--benchmarks {options.benchmarks!r} does not exist. Name a folder or a file of benchmarks."
            )
        targets: tuple[str, ...] = (options.benchmarks,)
    else:
        targets = ("benchmarks",) if (here / "benchmarks").is_dir() else _BUNDLED_BENCHMARKS
    return Plan(targets, tuple(options.flags), here)


def _check_benchmarks(plan: Plan) -> None:
    """Collect the benchmarks in this environment, so that a misspelt name costs seconds."""
    package = Path(pytest_sst2.__file__).parent
    # A checkout has the benchmarks next to the package; a wheel has them inside.
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
    reason = (errors or lines[-1:] or ["no reason given"])[0]
    raise Sst2Error(f"pytest does not collect the benchmarks with these options: {reason}")


@dataclass(frozen=True)
class _Finding:
    """The measurements of both environments, and what is needed to compare and bisect them."""

    options: argparse.Namespace
    plan: Plan
    environments: Environments
    sides: Sides
    measurements: Measurements
    notify: Notify
    width: int | None

    def report(self) -> tuple[str, int]:
        """Return the comparison, or after a bisection the cause, and the exit status."""
        after = self.measurements.after
        if after is None:
            error = self.measurements.after_error
            lines, status = [f"FAILS: the 'after' environment failed: {error}"], CANNOT_COMPARE
            symptom: Symptom | None = Symptom("crash", None, error, ())
        else:
            lines, status, symptom = self._compare(after)
        if self.options.bisect and symptom is None:
            lines += ["", "nothing to bisect: no cell crashed, regressed, drifted, became slower or needs more memory"]
        if self.options.bisect and symptom is not None:
            self._print([*lines, ""])
            lines = self._bisect(symptom)
        return "\n".join(map(one_line, lines)), status

    def _print(self, lines: Sequence[str]) -> None:
        """Print lines before longer work, so that nothing is lost if it is interrupted."""
        for line in lines:
            self.notify(line)

    def _compare(self, after: Results) -> tuple[list[str], int, Symptom | None]:
        before = self.measurements.before
        comparison = compare(before, after, tolerance=self.options.tolerance, alpha=self.options.alpha)
        lines = comparison_lines(comparison, self.options.fail_on, self.width)
        if failed := failure_summary(before):
            lines.append(f"note: failed in the earlier environment too: {failed}")
        symptom = worst_symptom(before, after, comparison)
        to_read: list[str] = []
        if symptom is not None and self.sides.changes:
            self._print([*lines, ""])
            lines = to_read = self._reading_list(symptom, comparison)
        if self.options.output:
            lines = [*lines, "", *map(str, self._write_report(before, after, comparison, to_read))]
        return lines, comparison.exit_status(self.options.fail_on), symptom

    def _reading_list(self, symptom: Symptom, comparison: Comparison) -> list[str]:
        folder = self.measurements.folder / "trace"
        kept = self.options.output or folder
        try:
            found = reading_list(self.sides, self.plan, symptom, comparison, folder, self.notify)
            found.write(kept)
        except Exception as error:  # the list may not end a run that has a finding
            return [f"note: no list of the functions that changed and ran: {error}"]
        return [*found.lines(), f"the whole list: {kept / READING_LIST}"]

    def _write_report(
        self, before: Results, after: Results, comparison: Comparison, to_read: Sequence[str]
    ) -> Sequence[Path]:
        from pytest_sst2.compare.cell_analysis import analyse_cells
        from pytest_sst2.data.sentence_lookup import SentenceLookup, local_sources
        from pytest_sst2.report.summary import make_report
        from pytest_sst2.report.write import write_report

        data = next((flag.partition("=")[2] for flag in self.plan.flags if flag.startswith("--sst2-data=")), "")
        folder = Path(data) if data and Path(data).is_dir() else None
        cells = analyse_cells(after, SentenceLookup(local_sources(folder)), before, comparison)
        report = replace(make_report(after, comparison, self.options.fail_on), to_read=tuple(to_read))
        return write_report(self.options.output, report, cells)

    def _bisect(self, symptom: Symptom) -> list[str]:
        changes = {change.name: change for change in self.sides.changes}
        bisection = Bisection(
            sides=self.sides,
            symptom=symptom,
            environments=self.environments,
            plan=self.plan,
            passes=self.options.passes,
            tolerance=self.options.tolerance,
            alpha=self.options.alpha,
            folder=self.measurements.folder / "bisect",
            notify=self.notify,
            named=[canonicalize_name(named.name) for named in read_requirements(self.options.requirements)],
        )
        self.notify(f"bisecting {plural(len(changes), 'change')}: {symptom.kind} in {symptom.name}: {symptom.summary}")
        repeated = bisection.repeated()
        if repeated is not Outcome.BAD:
            again = "is undecided when measured again" if repeated is Outcome.UNDECIDED else "did not occur again"
            return [f"no cause: {symptom.kind} in {symptom.name} {again} in the same environment"]
        minimal = bisection.minimal_set()
        causes = bisection.causes(minimal)
        lines = [cause_sentence(changes, minimal, causes, f"{symptom.name}: {symptom.summary}")]
        if self.options.bisect_releases:
            lines.append(release_sentence(bisection, minimal))
        return [*lines, _steps_sentence(bisection, symptom)]


def _steps_sentence(bisection: Bisection, symptom: Symptom) -> str:
    """Return how many sets were tested, how many of them are undecided, and what measures these better."""
    tested = f"{plural(bisection.steps, 'set')} of packages tested between the two environments"
    if not bisection.undecided:
        return tested
    if symptom.needs_passes:
        remedy = ": --passes with a larger number measures times better"
    elif bisection.looks_further:
        remedy = ""
    else:
        remedy = ": --sst2-seeds auto measures more seeds of them"
    return f"{tested}, {bisection.undecided} of them undecided{remedy}"
