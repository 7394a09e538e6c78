"""The upgrade check: two sets of packages, an environment of each, and the same benchmarks in both by turns."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from pytest_sst2.config.catalog import CATALOG
from pytest_sst2.results.file import Results
from pytest_sst2.upgrade.benchmark_runs import Plan, TrialError, merged, run_trial
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments
from pytest_sst2.upgrade.pins import Change, Pins, changes_between
from pytest_sst2.upgrade.uv import InstallError, Wanted
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.hashing import short_digest
from pytest_sst2.utils.locks import lock_file

Say = Callable[[str], None]
"""Told of every step as it is taken."""

BEFORE, AFTER = "before", "after"
_FINISHED = "finished"


@dataclass(frozen=True)
class Upgrade:
    """What is asked: from which packages, to which.

    Attributes:
        base: The pins of the earlier environment, as far as they are known.
        requirements: What the later one must have.
        target: The pins of the later one, where a lock file names them; else None.
        latest: Whether the later one is to have the newest of everything that fits.
        python: The interpreter of the later one; None for that of the earlier.
        also: What both must have besides the runner and what it needs.
    """

    base: Pins
    requirements: tuple[Requirement, ...] = ()
    target: Pins | None = None
    latest: bool = False
    python: str | None = None
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Both environments.

    Attributes:
        before: The earlier.
        after: The later.
        changes: The packages in which they differ, all that the resolver moved.
        roots: What both must have, as requirements.
        python: The interpreter of the earlier, a path.
        python_after: That of the later, a path or a version.
    """

    before: BuiltEnvironment
    after: BuiltEnvironment
    changes: tuple[Change, ...]
    roots: tuple[str, ...]
    python: str
    python_after: str


class SideError(InstallError):
    """One of the two sides cannot be had; the message begins with which."""


def build_sides(upgrade: Upgrade, environments: Environments, say: Say) -> Sides:
    """Resolve and build both environments.

    Raises:
        SideError: One of them cannot be had.
    """
    python = str(getattr(sys, "_base_executable", sys.executable))
    roots = _roots(upgrade, environments.runner)
    with _side(BEFORE):
        pins = environments.uv.resolve(Wanted(roots, upgrade.base, {}), python)
        before = _build(environments, pins, python, BEFORE, say)
    with _side(AFTER):
        python_after = upgrade.python or python
        later = _resolve_after(upgrade, environments, roots, before)
        after = _build(environments, later, python_after, AFTER, say)
    return Sides(before, after, changes_between(pins, later), roots, python, python_after)


@contextlib.contextmanager
def _side(name: str) -> Iterator[None]:
    """Say, of what cannot be had in the body, on which side it was."""
    try:
        yield
    except InstallError as error:
        raise SideError(f"{name} cannot run: {error}") from error


def _roots(upgrade: Upgrade, runner: str) -> tuple[str, ...]:
    """Return what both sides must have: the runner, bundled weights that are here, and what was named."""
    bundled = [spec.bundled.replace("_", "-") for spec in CATALOG if spec.bundled]
    named = [canonicalize_name(each.name) for each in upgrade.requirements]
    wanted = [name for name in dict.fromkeys((*bundled, *named)) if name in upgrade.base]
    return (runner, *wanted, *upgrade.also)


def _resolve_after(
    upgrade: Upgrade, environments: Environments, roots: Sequence[str], before: BuiltEnvironment
) -> dict[str, str]:
    uv = environments.uv
    python = upgrade.python or str(before.python)
    wanted = (*roots, *map(str, upgrade.requirements))
    if upgrade.target is not None:
        return uv.resolve(Wanted(wanted, upgrade.target, {}), python)
    if upgrade.latest:
        return uv.resolve(Wanted(wanted, {}, {}), python)
    # What is named becomes the newest that its requirement allows; everything else stays where it can.
    named = {canonicalize_name(each.name) for each in upgrade.requirements}
    kept = {name: version for name, version in before.pins.items() if name not in named}
    if upgrade.python is None:
        return uv.resolve(Wanted(wanted, {}, kept), python)
    try:
        return uv.resolve(Wanted(wanted, kept, {}), python)
    except InstallError:
        # Some of these versions are not for the other interpreter, or what was named needs others.
        return uv.resolve(Wanted(wanted, {}, kept), python)


def _build(environments: Environments, pins: Pins, python: str, name: str, say: Say) -> BuiltEnvironment:
    built = environments.build(pins, python)
    how = f"built in {built.seconds:.0f} s" if built.seconds else "kept from an earlier run"
    say(f"{name}: {len(pins)} packages, {how} ({built.folder})")
    return built


@dataclass(frozen=True)
class Measured:
    """What both sides measured, and where single passes are kept until the check is done."""

    before: Results
    after: Results | None
    after_error: str
    folder: Path


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep another command from measuring the same check at the same time.

    Raises:
        Sst2Error: One does.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = "the same check is running already; wait for it, or end it: both would measure worse."
    with lock_file(Path(f"{folder}.lock"), busy=busy):
        yield


def measure_sides(sides: Sides, plan: Plan, passes: int, folder: Path, say: Say) -> Measured:
    """Run the benchmarks in both environments by turns: before, after, after, before, and so on.

    A machine that becomes slower in the meantime hurts both alike. A pass that is there from a run that was interrupted
    is not measured again.

    Raises:
        SideError: They do not run in the earlier environment.
    """
    if (folder / _FINISHED).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    found: dict[str, list[Results]] = {BEFORE: [], AFTER: []}
    after_error = ""
    for number in range(1, passes + 1):
        for name in (BEFORE, AFTER) if number % 2 else (AFTER, BEFORE):
            if name == AFTER and after_error:
                continue
            file = folder / f"{name}-{number}.json"
            there = " (from the run that was interrupted)" if file.is_file() else ""
            say(f"{name}: pass {number} of {passes}{there}")
            try:
                found[name].append(run_trial(getattr(sides, name), plan, file))
            except TrialError as error:
                if name == BEFORE:
                    raise SideError(f"{BEFORE} cannot run: {error}") from error
                after_error = str(error)
    after = merged(found[AFTER], AFTER) if found[AFTER] and not after_error else None
    return Measured(merged(found[BEFORE], BEFORE), after, after_error, folder)


def finish(measured: Measured) -> None:
    """Say that the check came to its end: the same command will measure anew."""
    write_atomically(measured.folder / _FINISHED, "")


def run_folder(kept: Path, sides: Sides, plan: Plan, passes: int) -> Path:
    """Return where a check keeps what it measured until it is done.

    It is named after both environments, what is run in them, and the code of the benchmarks themselves.
    """
    parts = (sides.before.key, sides.after.key, str(passes), str(plan.folder), *plan.targets, *plan.flags)
    contents = b"".join(path.read_bytes() for path in plan.files())
    return kept / short_digest("\n".join(parts).encode() + contents)
