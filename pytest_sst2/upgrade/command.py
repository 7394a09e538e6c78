"""Run ``pytest-sst2 upgrade``: check the arguments, build both environments, and run the benchmarks or the command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from packaging.utils import canonicalize_name

from pytest_sst2.compare.comparison import HOLDS
from pytest_sst2.upgrade.ab_run import AFTER, BEFORE, Notify, Sides, UpgradeRequest, build_sides
from pytest_sst2.upgrade.benchmark_check import check_benchmarks
from pytest_sst2.upgrade.benchmark_plan import benchmark_plan, check_collection, plan_of_commits
from pytest_sst2.upgrade.cause_search import CauseSearch
from pytest_sst2.upgrade.checkouts import WORKTREES, Checkouts, checkouts_below
from pytest_sst2.upgrade.command_check import check_command
from pytest_sst2.upgrade.environments import Environments, create_upgrade_folder, remove_kept, upgrade_folder
from pytest_sst2.upgrade.installed_here import (
    InstalledProject,
    check_imports,
    import_folders,
    installed_here,
    installed_projects,
)
from pytest_sst2.upgrade.package_lists import read_packages
from pytest_sst2.upgrade.pins import Pins, installed_pins, read_requirements
from pytest_sst2.upgrade.repository import open_repository
from pytest_sst2.upgrade.runner_wheel import write_wheel
from pytest_sst2.upgrade.uv import Uv, find_uv
from pytest_sst2.utils.errors import Sst2Error
from pytest_sst2.utils.formatting import plural
from pytest_sst2.utils.sanitize import one_line


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
    if not (_changes_packages(options) or options.base or options.from_ref or options.to_ref):
        if options.clean:
            return "", HOLDS
        raise Sst2Error(
            "nothing to upgrade. Name packages ('transformers==5.24.0'), or give --latest, --from FILE, --to FILE, "
            "--python VERSION or --from-ref COMMIT."
        )
    _check_options(options)
    if not options.from_ref:
        return _check_packages(options, notify_line, width)
    repository, to_ref = open_repository(Path.cwd()), options.to_ref or "HEAD"
    before, after = repository.commit(options.from_ref, "--from-ref"), repository.commit(to_ref, "--to-ref")
    for note in repository.notes(after):
        notify_line(note)
    if before == after and not (_changes_packages(options) or options.base):
        same = f"{options.from_ref} and {to_ref} are the same commit"
        return f"nothing changes: {same}, {repository.name(after)}", HOLDS
    projects = installed_projects(repository.top)
    folders = import_folders(projects, repository.top)
    with checkouts_below(create_upgrade_folder() / WORKTREES, repository, folders) as checkouts:
        return _check_commits(options, checkouts, (before, after), projects, notify_line, width)


def _changes_packages(options: argparse.Namespace) -> bool:
    return bool(options.requirements or options.latest or options.to or options.python)


def _check_packages(options: argparse.Namespace, notify: Notify, width: int | None) -> tuple[str, int]:
    """Run the benchmarks or the command with two sets of packages."""
    uv = find_uv()
    upgrade = _upgrade_request(options, notify)
    if not options.command:
        plan = benchmark_plan(options)
        check_collection(plan)
    environments = _environments(options, uv)
    sides = _sides(upgrade, environments, notify)
    if not sides.changes and sides.python == sides.python_after:
        return "nothing changes: both environments have the same packages", HOLDS
    search = CauseSearch(sides, environments, None, notify, options.bisect_releases, _named(options))
    if options.command:
        return check_command(options.command, search, options.bisect, upgrade_folder() / "runs")
    return check_benchmarks(options, plan, search, upgrade_folder() / "runs", width)


def _check_commits(
    options: argparse.Namespace,
    checkouts: Checkouts,
    commits: tuple[str, str],
    projects: Sequence[InstalledProject],
    notify: Notify,
    width: int | None,
) -> tuple[str, int]:
    """Run the benchmarks or the command at two commits, and with two sets of packages if they are named."""
    before, after = map(checkouts.of, commits)
    for name, commit in ((BEFORE, before), (AFTER, after)):
        notify(f"{name}: {checkouts.repository.name(commit.sha)}")
    environments = None
    if _changes_packages(options) or options.base or options.extra_requirements:
        environments = _environments(options, find_uv())
        sides = _sides(_upgrade_request(options, notify), environments, notify)
    else:
        here = installed_here()
        check_imports(projects, here, after)
        sides = Sides(here, here, (), (), sys.executable, sys.executable)
    sides = replace(sides, before=sides.before.at(before), after=sides.after.at(after))
    search = CauseSearch(sides, environments, checkouts, notify, options.bisect_releases, _named(options))
    if options.command:
        return check_command(options.command, search, options.bisect, upgrade_folder() / "runs")
    plan = plan_of_commits(options, checkouts.repository, sides.after)
    return check_benchmarks(options, plan, search, upgrade_folder() / "runs", width)


def _environments(options: argparse.Namespace, uv: Uv) -> Environments:
    folder = create_upgrade_folder()
    # A command of one's own needs nothing of this package.
    wheel = None if options.command else write_wheel(folder / "wheels")
    return Environments(folder / "environments", uv, wheel)


def _sides(upgrade: UpgradeRequest, environments: Environments, notify: Notify) -> Sides:
    """Build both environments, and say what changes."""
    sides = build_sides(upgrade, environments, notify)
    if sides.changes:
        notify(f"{plural(len(sides.changes), 'package')} changed: {', '.join(map(str, sides.changes))}")
    elif sides.python != sides.python_after:
        notify(f"only the interpreter changes: {sides.python_after}")
    return sides


def _named(options: argparse.Namespace) -> list[str]:
    return [canonicalize_name(requirement.name) for requirement in read_requirements(options.requirements)]


def _check_options(options: argparse.Namespace) -> None:
    if options.to and (options.requirements or options.latest):
        raise Sst2Error(
            "--to FILE gives every version of the later environment. Leave out --latest and single packages."
        )
    of_benchmarks = (options.flags, options.benchmarks, options.passes, options.output, options.time)
    if options.command and any(of_benchmarks):
        raise Sst2Error(
            "a command after -- takes the place of the benchmarks. Leave out their options, --benchmarks, --passes, "
            "--time and -o."
        )
    if options.budget and not options.time:
        raise Sst2Error("--budget limits the turns of --time. Add --time 10%, or leave it out.")
    if options.to_ref and not options.from_ref:
        raise Sst2Error("--to-ref needs --from-ref, the commit before.")
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
    """Return the requested packages; a note names those that are left out.

    If only the earlier packages are named, the later ones are those installed here.
    """
    base = _read(options.base, notify) if options.base else _installed(notify)
    target = _read(options.to, notify) if options.to else None
    if options.base and not _changes_packages(options):
        target = _installed(notify)
    return UpgradeRequest(
        base=base,
        requirements=tuple(read_requirements(options.requirements)),
        target=target,
        latest=options.latest,
        python=options.python,
        extra_requirements=tuple(map(str, read_requirements(options.extra_requirements))),
        everything=bool(options.command),
    )


def _installed(notify: Notify) -> Pins:
    """Return the pins of this environment; a note names the packages that have no version on an index."""
    pins, local = installed_pins()
    if local:
        notify(
            "note: an index does not have what is installed from a folder or a repository. Left out, unless a "
            f"package needs it: {', '.join(local)}."
        )
    return pins


def _read(name: str, notify: Notify) -> Pins:
    """Return the pins of a lock file or baseline; notes say where they are from and what has no version on an index."""
    lock = read_packages(name, Path.cwd())
    for note in lock.notes:
        notify(f"note: {note}")
    if lock.left_out:
        notify(f"note: {name} pins no version of an index for these. Left out: {', '.join(lock.left_out)}.")
    return lock.pins
