"""Resolve and build two environments, and run the same benchmarks in them in turns (an A/B run)."""

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
from pytest_sst2.upgrade.benchmark_runs import BenchmarkRunError, Plan, merge_passes, run_benchmarks
from pytest_sst2.upgrade.environments import BuiltEnvironment, Environments
from pytest_sst2.upgrade.pins import Pins, VersionChange, changes_between
from pytest_sst2.upgrade.uv import InstallError
from pytest_sst2.utils.atomic_write import write_atomically
from pytest_sst2.utils.hashing import short_digest
from pytest_sst2.utils.locks import lock_file

Notify = Callable[[str], None]
"""Called with one line of progress at each step."""

BEFORE, AFTER = "before", "after"
_FINISHED = "finished"


@dataclass(frozen=True)
class UpgradeRequest:
    """The packages of both environments, as requested on the command line.

    ``base`` has the pins of the earlier environment, ``extra_requirements`` are for both, and the rest is for the later
    one: ``target`` has all its pins, if a lock file names them. ``everything`` is whether all packages that are named
    are installed, or only those that the benchmarks need.
    """

    base: Pins
    requirements: tuple[Requirement, ...] = ()
    target: Pins | None = None
    latest: bool = False
    python: str | None = None
    extra_requirements: tuple[str, ...] = ()
    everything: bool = False

    @property
    def changes_nothing(self) -> bool:
        """Whether both environments have the same packages, because commits are compared."""
        return not (self.requirements or self.latest or self.python) and self.target is None


@dataclass(frozen=True)
class Sides:
    """Both environments.

    Attributes:
        changes: The packages in which they differ, including those that uv moved.
        roots: The requirements of both.
        python: The interpreter of the earlier one, a path.
        python_after: That of the later one, a path or a version.
    """

    before: BuiltEnvironment
    after: BuiltEnvironment
    changes: tuple[VersionChange, ...]
    roots: tuple[str, ...]
    python: str
    python_after: str


class SideError(InstallError):
    """One of the two environments cannot be built or used; the message names it."""


def build_sides(upgrade: UpgradeRequest, environments: Environments, notify: Notify) -> Sides:
    """Resolve and build both environments.

    Raises:
        SideError: One of them cannot be built.
    """
    python = str(getattr(sys, "_base_executable", sys.executable))
    roots = _roots(upgrade, environments.runner)
    with _name_side(BEFORE):
        pins = environments.uv.resolve(roots, python, pins=upgrade.base)
        before = _build(environments, pins, python, BEFORE, notify)
    if upgrade.changes_nothing:
        return Sides(before, before, (), roots, python, python)
    with _name_side(AFTER):
        python_after = upgrade.python or python
        later = _resolve_after(upgrade, environments, roots, before)
        after = _build(environments, later, python_after, AFTER, notify)
    return Sides(before, after, changes_between(pins, later), roots, python, python_after)


@contextlib.contextmanager
def _name_side(name: str) -> Iterator[None]:
    """Name the environment in errors of the body."""
    try:
        yield
    except InstallError as error:
        raise SideError(f"the '{name}' environment failed: {error}") from error


def _roots(upgrade: UpgradeRequest, runner: Sequence[str]) -> tuple[str, ...]:
    """Return the requirements of both environments: the runner, installed bundled weights, and named packages."""
    if upgrade.everything:
        return (*runner, *upgrade.base, *upgrade.extra_requirements)
    bundled = [spec.bundled.replace("_", "-") for spec in CATALOG if spec.bundled]
    named = [canonicalize_name(requirement.name) for requirement in upgrade.requirements]
    in_base = [name for name in dict.fromkeys((*bundled, *named)) if name in upgrade.base]
    return (*runner, *in_base, *upgrade.extra_requirements)


def _resolve_after(
    upgrade: UpgradeRequest, environments: Environments, roots: Sequence[str], before: BuiltEnvironment
) -> dict[str, str]:
    uv = environments.uv
    python = upgrade.python or str(before.python)
    if upgrade.everything and upgrade.target is not None:
        roots = (*environments.runner, *upgrade.target, *upgrade.extra_requirements)
    requirements = (*roots, *map(str, upgrade.requirements))
    if upgrade.target is not None or upgrade.latest:
        return uv.resolve(requirements, python, pins=upgrade.target)
    # Named packages become the newest that their requirement allows. All others keep their version if possible.
    named = {canonicalize_name(requirement.name) for requirement in upgrade.requirements}
    others = {name: version for name, version in before.pins.items() if name not in named}
    if upgrade.python is not None:
        # Some versions may not support the other interpreter, or not fit the named packages.
        with contextlib.suppress(InstallError):
            return uv.resolve(requirements, python, pins=others)
    return uv.resolve(requirements, python, preferred=others)


def _build(environments: Environments, pins: Pins, python: str, name: str, notify: Notify) -> BuiltEnvironment:
    built = environments.build(pins, python)
    how = f"built in {built.seconds:.0f} s" if built.seconds else "kept from an earlier run"
    notify(f"{name}: {len(pins)} packages, {how} ({built.folder})")
    return built


@dataclass(frozen=True)
class Measurements:
    """The merged passes in both environments, and the folder of single passes.

    ``after`` is None if the benchmarks did not run in the later environment; ``after_error`` says why.
    """

    before: Results
    after: Results | None
    after_error: str
    folder: Path


@contextlib.contextmanager
def exclusive_run(folder: Path) -> Iterator[None]:
    """Keep other commands from running the same upgrade check; after a success, the next one measures again.

    Raises:
        Sst2Error: Another command runs it already.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = (
        "the same upgrade check is already running, and two at once would distort each other's times. "
        "Wait until it ends, or stop it."
    )
    with lock_file(Path(f"{folder}.lock"), busy=busy):
        yield
        write_atomically(folder / _FINISHED, "")


def measure_sides(sides: Sides, plan: Plan, passes: int, folder: Path, notify: Notify) -> Measurements:
    """Run the benchmarks in both environments in turns: before, after, after, before, and so on.

    Because of this order a machine that becomes slower affects both equally. Passes of an interrupted command are
    reused.

    Raises:
        SideError: The benchmarks do not run in the earlier environment.
    """
    forget_finished(folder)
    return measure_passes(sides, plan, passes, folder, notify)


def forget_finished(folder: Path) -> None:
    """Remove the passes of a finished command, so that the next one measures again."""
    if (folder / _FINISHED).is_file():
        shutil.rmtree(folder, ignore_errors=True)


def measure_passes(
    sides: Sides, plan: Plan, passes: int, folder: Path, notify: Notify, *, later_first: bool = False, what: str = ""
) -> Measurements:
    """Run the benchmarks in both environments in turns, as ``measure_sides``; ``what`` is added to each line."""
    results: dict[str, list[Results]] = {BEFORE: [], AFTER: []}
    after_error = ""
    for number in range(1, passes + 1):
        for name in (BEFORE, AFTER) if number % 2 != later_first else (AFTER, BEFORE):
            if name == AFTER and after_error:
                continue
            file = folder / f"{name}-{number}.json"
            reused = " (reused from the interrupted command)" if file.is_file() else ""
            notify(f"{name}: pass {number} of {passes}{what}{reused}")
            try:
                run = run_benchmarks(getattr(sides, name), plan, file, lambda line: notify(f"  {line}"))
                results[name].append(run)
            except BenchmarkRunError as error:
                if name == BEFORE:
                    raise SideError(f"the '{BEFORE}' environment failed: {error}") from error
                after_error = str(error)
    after = merge_passes(results[AFTER], AFTER) if results[AFTER] and not after_error else None
    return Measurements(merge_passes(results[BEFORE], BEFORE), after, after_error, folder)


def run_folder(parent: Path, sides: Sides, plan: Plan, passes: int) -> Path:
    """Return the folder of an A/B run, named after both environments, the plan, and the code of the benchmarks."""
    parts = (sides.before.key, sides.after.key, str(passes), str(plan.folder), *plan.targets, *plan.flags)
    contents = b"".join(path.read_bytes() for path in plan.files())
    return parent / short_digest("\n".join(parts).encode() + contents)
